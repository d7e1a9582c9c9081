"""`python -m benchmarks.cost`: where a job's microseconds go, as CPU time (Linux).

Workers burn down a queue of jobs that do nothing, or that fail once first. CPU time, unlike the time on the
clock, tells nearly the same on a busy machine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import statistics
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import click
import psycopg

import forthwith
from benchmarks.scenarios.filling import fill, statements
from benchmarks.scenarios.full_tables import FULL, SMALLER
from benchmarks.server import open_server, prepare
from benchmarks.spending import Spending

if TYPE_CHECKING:
    from asyncio.subprocess import Process

JOBS = """
insert into forthwith.job (queue, task, args, state)
select 'default', %s, jsonb_build_object('number', number), 'ready'
from generate_series(1, %s) number
"""
WATCHED = ("claiming backend", "completing backend")
SHARE_MIN = 0.02


@click.command()
@click.option("--jobs", type=click.IntRange(1000), default=200_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--workers", type=click.IntRange(1), multiple=True, default=(1,), show_default=True)
@click.option("--concurrency", type=click.IntRange(1), default=100, show_default=True)
@click.option("--failing", is_flag=True, help="Each job fails once, and is retried at once.")
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
def main(workers: tuple[int, ...], rounds: int, database: str | None, **options: Any) -> None:
    """Print what each process spends on a job, and what the server's wait for.

    With --workers several times, the numbers of worker processes take turns.
    """
    logging.getLogger("forthwith").setLevel(logging.ERROR)
    found: dict[int, dict[str, list[float]]] = {
        each: defaultdict(list) for each in dict.fromkeys(workers)
    }
    with open_server(database) as server:
        for _ in range(rounds):
            for count, values in found.items():
                with server.database() as url:
                    for name, value in asyncio.run(_round(url, count, **options)).items():
                        values[name].append(value)
    for count, values in found.items():
        sort = "failing jobs" if options["failing"] else "jobs"
        click.echo(
            f"\n{options['jobs']:,} {sort}, {count} worker processes, concurrency "
            f"{options['concurrency']}, {rounds} rounds: median (low to high)"
        )
        for name, each in values.items():
            figures = each + [0.0] * (rounds - len(each))
            median, low, high = statistics.median(figures), min(figures), max(figures)
            if median >= 0.05:
                click.echo(f"{name:60} {median:10,.1f} ({low:,.1f} to {high:,.1f})")


async def _round(
    url: str, count: int, *, jobs: int, concurrency: int, failing: bool, filled: str
) -> dict[str, float]:
    app = forthwith.App(url)
    async with app.open_async():
        await app.migrate_async()
    if filled != "no":
        fill(url, statements("forthwith"), FULL if filled == "full" else SMALLER)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(JOBS, ["fails_once" if failing else "nothing", jobs])
    prepare(url)
    workers = [await _started(url, concurrency) for _ in range(count)]
    wal, spending = _wal(url), Spending(url)
    watching = asyncio.create_task(spending.watch())
    began_s = time.monotonic()
    bills = await asyncio.gather(*[_worked(worker) for worker in workers])
    clock_s = time.monotonic() - began_s
    watching.cancel()
    ran = sum(bill["ran"] for bill in bills)
    if ran != jobs:
        raise click.ClickException(f"{ran:,} of {jobs:,} jobs ran")
    return {
        "on the clock, us a job": clock_s * 1e6 / jobs,
        "worker processes, us a job": sum(bill["cpu_s"] for bill in bills) * 1e6 / jobs,
        **{f"{kind}, us a job": s * 1e6 / jobs for kind, s in sorted(spending.cpu_s().items())},
        "WAL, bytes a job": (_wal(url) - wal) / jobs,
        "a worker's own core in use, %": 100
        * statistics.mean(bill["cpu_s"] / bill["clock_s"] for bill in bills),
        **{
            f"{kind}: waits for {what}, %": 100 * share
            for kind in WATCHED
            for what, share in spending.waits(kind).items()
            if share >= SHARE_MIN
        },
    }


async def _started(url: str, concurrency: int) -> Process:
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.cost_worker",
        url,
        str(concurrency),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert worker.stdout is not None
    if await worker.stdout.readline() != b"ready\n":
        raise click.ClickException("a worker did not start: its message is above")
    return worker


async def _worked(worker: Process) -> dict[str, float]:
    answer, _ = await worker.communicate(b"go\n")
    if worker.returncode:
        raise click.ClickException("a worker failed: its message is above")
    bill: dict[str, float] = json.loads(answer)
    return bill


def _wal(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        (row,) = connection.execute("select pg_current_wal_lsn() - '0/0'").fetchall()
        return int(row[0])


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.cost")
