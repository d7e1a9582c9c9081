"""`python -m benchmarks.cost`: where a job's microseconds go, as CPU time (Linux).

A worker in this process burns down a queue of jobs that do nothing. CPU time, unlike the time on the
clock, tells nearly the same on a busy machine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psycopg

import forthwith
from benchmarks.scenarios.filling import fill, statements
from benchmarks.scenarios.full_tables import SMALLER
from benchmarks.server import open_server, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK_US = 1e6 / os.sysconf("SC_CLK_TCK")
LOOK_INTERVAL_S = 0.2
FILL = """
insert into forthwith.job (queue, task, args, state)
select 'default', 'nothing', jsonb_build_object('number', number), 'ready'
from generate_series(1, %s) number
"""
# Backends by the head of what they did last (statements are cut off); the others by their kind.
PROCESSES = """
select pid, case
    when query like '-- Claim up to%' then 'claiming backend'
    when query like '-- Move jobs that ended%' then 'completing backend'
    when backend_type = 'client backend' then 'other backends'
    else backend_type end
from pg_stat_activity where pid <> pg_backend_pid()
"""


@click.command()
@click.option("--jobs", type=click.IntRange(1000), default=200_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--concurrency", type=click.IntRange(1), default=100, show_default=True)
@click.option("--full", is_flag=True, help="In tables full of other jobs, as in full_tables.")
@click.option(
    "--database", metavar="URL", help="A server on this machine instead of the embedded one."
)
def main(jobs: int, rounds: int, concurrency: int, full: bool, database: str | None) -> None:
    """Print how many microseconds of CPU time each process spends on a job, and the WAL's bytes."""
    logging.getLogger("forthwith").setLevel(logging.WARNING)
    found: dict[str, list[float]] = defaultdict(list)
    with open_server(database) as server:
        for _ in range(rounds):
            with server.database() as url:
                for name, value in asyncio.run(_burn_down(url, jobs, concurrency, full)):
                    found[name].append(value)
    click.echo(f"{jobs:,} jobs, concurrency {concurrency}, {rounds} rounds: median (low to high)")
    for name, values in sorted(found.items(), key=lambda item: -statistics.median(item[1])):
        if statistics.median(values) >= 0.05:
            median, low, high = statistics.median(values), min(values), max(values)
            click.echo(f"{name:32} {median:10,.1f} ({low:,.1f} to {high:,.1f})")


async def _burn_down(url: str, jobs: int, concurrency: int, full: bool) -> list[tuple[str, float]]:
    app = forthwith.App(url)
    ran = 0

    @app.task(name="nothing")
    async def nothing(number: int) -> None:
        nonlocal ran
        ran += bool(number)

    async with app.open_async():
        await app.migrate_async()
        if full:
            fill(url, statements("forthwith"), SMALLER)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(FILL, [jobs])
        prepare(url)
        wal, before, seen = _wal(url), dict(_cpu(url)), {}
        watching = asyncio.create_task(_watch(url, seen))
        began_s, cpu_s = time.monotonic(), time.process_time()
        await app.run_worker_async(
            queues=["default"], concurrency=concurrency, wait=False, install_signal_handlers=False
        )
        watching.cancel()
        cost = [
            ("worker process, us", (time.process_time() - cpu_s) * 1e6 / jobs),
            ("on the clock, us", (time.monotonic() - began_s) * 1e6 / jobs),
            ("WAL, bytes", (_wal(url) - wal) / jobs),
        ]
    assert ran == jobs, f"{ran} of {jobs} jobs ran"
    by_kind: dict[str, float] = defaultdict(float)
    for pid, (kind, ticks) in seen.items():
        by_kind[kind] += ticks - before.get(pid, ("", 0))[1]
    return cost + [(f"{kind}, us", ticks * TICK_US / jobs) for kind, ticks in by_kind.items()]


async def _watch(url: str, seen: dict[int, tuple[str, int]]) -> None:
    """Keep the last that is known of each process: backends are gone when the worker is."""
    while True:
        for pid, (kind, ticks) in _cpu(url):
            earlier = seen.get(pid, (kind, 0))[0]
            known = kind if earlier == "other backends" or kind != "other backends" else earlier
            seen[pid] = known, ticks
        await asyncio.sleep(LOOK_INTERVAL_S)


def _cpu(url: str) -> Iterator[tuple[int, tuple[str, int]]]:
    with psycopg.connect(url, autocommit=True) as connection:
        processes = connection.execute(PROCESSES).fetchall()
    for pid, kind in processes:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # gone meanwhile
        yield pid, (kind, int(fields[11]) + int(fields[12]))


def _wal(url: str) -> int:
    with psycopg.connect(url, autocommit=True) as connection:
        (row,) = connection.execute("select pg_current_wal_lsn() - '0/0'").fetchall()
        return int(row[0])


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.cost")
