"""`python -m benchmarks.watched`: what an open dashboard takes from a worker (Linux).

The same burn-down with and without a dashboard that somebody looks at, in turns. The one who looks does what
a browser does with the overview open: listens for events, and gets the page again when something has
changed, at most once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import statistics
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import httpx

from benchmarks.bills import CLOCK, bill, load
from benchmarks.server import open_server
from benchmarks.spending import TICK_S

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import AsyncIterator

CONCURRENCY = 100
REFRESH_S = 1.0
_ADDRESS = re.compile(rb"The dashboard is at (\S+)/ ")


class Round(NamedTuple):
    """One burn-down."""

    clock_us: float
    server_us: float
    """CPU time of the server's processes, a job."""
    dashboard_us: float
    """CPU time of the dashboard's process, a job."""
    pages: int
    """How often the overview was got while it lasted."""


class Dashboard(NamedTuple):
    """A dashboard's process, and how many pages were got from it so far."""

    process: Process
    pages: list[int]

    @property
    def cpu_s(self) -> float:
        """CPU time of the process so far."""
        stat = Path(f"/proc/{self.process.pid}/stat").read_text("utf-8")
        fields = stat.rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * TICK_S


@click.command()
@click.option("--jobs", type=click.IntRange(1000), default=300_000, show_default=True)
@click.option("--pairs", type=click.IntRange(1), default=5, show_default=True)
@click.option(
    "--filled",
    type=click.Choice(["no", "smaller", "full"]),
    default="no",
    show_default=True,
    help="In tables full of other jobs, as in full_tables: 1.2 million, or 12.",
)
@click.option(
    "--database", metavar="URL", help="A server on this machine instead of the embedded one."
)
def main(jobs: int, pairs: int, filled: str, database: str | None) -> None:
    """Print how much slower a burn-down is while somebody has the dashboard open."""
    logging.getLogger("forthwith").setLevel(logging.ERROR)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    alone, watched = [], []
    with open_server(database) as server:
        for number in range(pairs):
            for is_watched in (number % 2 == 0, number % 2 != 0):
                with server.database() as url:
                    found = asyncio.run(_round(url, jobs, filled, is_watched=is_watched))
                (watched if is_watched else alone).append(found)
    click.echo(
        f"{jobs:,} jobs, one worker process, concurrency {CONCURRENCY}, {pairs} pairs in turns, "
        f"{os.cpu_count()} cores: median (low to high)"
    )
    for name, rounds in (("without", alone), ("with a dashboard open", watched)):
        click.echo(f"{name}:")
        _tell("on the clock, us a job", [each.clock_us for each in rounds])
        _tell("the server's processes, us a job", [each.server_us for each in rounds])
    _tell("the dashboard's process, us a job", [each.dashboard_us for each in watched])
    _tell("pages got in a round", [each.pages for each in watched])
    slower = [100 * (b.clock_us / a.clock_us - 1) for a, b in zip(alone, watched, strict=True)]
    _tell("slower on the clock, %", slower)


def _tell(name: str, values: list[float]) -> None:
    median, low, high = statistics.median(values), min(values), max(values)
    click.echo(f"  {name:40} {median:8,.1f} ({low:,.1f} to {high:,.1f})")


async def _round(url: str, jobs: int, filled: str, *, is_watched: bool) -> Round:
    await load(url, jobs=jobs, filled=filled)
    watching = _dashboard(url) if is_watched else contextlib.nullcontext()
    async with watching as dashboard:
        before = (dashboard.cpu_s, dashboard.pages[0]) if dashboard else (0.0, 0)
        found = await bill(url, workers=1, jobs=jobs, concurrency=CONCURRENCY)
        after = (dashboard.cpu_s, dashboard.pages[0]) if dashboard else (0.0, 0)
    server_us = sum(
        us
        for name, us in found.items()
        if name.endswith("us a job") and name not in (CLOCK, "worker processes, us a job")
    )
    return Round(found[CLOCK], server_us, (after[0] - before[0]) * 1e6 / jobs, after[1] - before[1])


@contextlib.asynccontextmanager
async def _dashboard(url: str) -> AsyncIterator[Dashboard]:
    """A dashboard in a process of its own, and somebody who looks at its overview."""
    command = [sys.executable, "-m", "forthwith", "dashboard", "--port", "0", "--database", url]
    process = await asyncio.create_subprocess_exec(
        *command,
        "--log-level",
        "warning",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    dashboard = Dashboard(process, [0])
    tasks: list[asyncio.Task[None]] = []
    try:
        address = await _address(process.stdout)
        tasks.append(asyncio.create_task(_drain(process.stdout)))
        tasks.append(asyncio.create_task(_look(address, dashboard.pages)))
        while not dashboard.pages[0]:
            if tasks[-1].done():
                await tasks[-1]
            await asyncio.sleep(0.1)
        yield dashboard
        if tasks[-1].done():
            await tasks[-1]
    finally:
        for task in tasks:
            task.cancel()
        process.terminate()
        await process.wait()


async def _address(output: asyncio.StreamReader) -> str:
    read = b""
    while not (found := _ADDRESS.search(read)):
        line = await output.readline()
        if not line:
            raise click.ClickException(f"the dashboard did not start: {read.decode()}")
        read += line
    return found[1].decode()


async def _drain(output: asyncio.StreamReader) -> None:
    while await output.readline():
        pass


async def _look(address: str, pages: list[int]) -> None:
    """Get the overview whenever something has changed, at most once a second, as the page's script does."""
    async with (
        httpx.AsyncClient(base_url=address, timeout=30) as client,
        client.stream("GET", "/events") as events,
    ):
        async for line in events.aiter_lines():
            if line.startswith("event: change"):
                (await client.get("/")).raise_for_status()
                pages[0] += 1
                await asyncio.sleep(REFRESH_S)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.watched")
