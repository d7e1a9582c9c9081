"""What burning down a queue costs: CPU time of the workers and of the server's processes (Linux)."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from typing import TYPE_CHECKING

import click
import psycopg

import forthwith
from benchmarks.scenarios.filling import fill, statements
from benchmarks.scenarios.full_tables import FULL, SMALLER
from benchmarks.server import prepare
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
CLOCK = "on the clock, us a job"


async def load(url: str, *, jobs: int, failing: bool = False, filled: str = "no") -> None:
    """Make the schema in an empty database, and put jobs in: beside many others, if asked to."""
    app = forthwith.App(url)
    async with app.open_async():
        await app.migrate_async()
    if filled != "no":
        fill(url, statements("forthwith"), FULL if filled == "full" else SMALLER)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(JOBS, ["fails_once" if failing else "nothing", jobs])
    prepare(url)


async def bill(url: str, *, workers: int, jobs: int, concurrency: int) -> dict[str, float]:
    """Burn the jobs down; return what that took, by name, each with its unit."""
    processes = [await _started(url, concurrency) for _ in range(workers)]
    wal, spending = _wal(url), Spending(url)
    watching = asyncio.create_task(spending.watch())
    began_s = time.monotonic()
    bills = await asyncio.gather(*[_worked(process) for process in processes])
    clock_s = time.monotonic() - began_s
    watching.cancel()
    ran = sum(bill["ran"] for bill in bills)
    if ran != jobs:
        raise click.ClickException(f"{ran:,} of {jobs:,} jobs ran")
    return {
        CLOCK: clock_s * 1e6 / jobs,
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
