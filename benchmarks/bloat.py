"""`python -m benchmarks.bloat`: do the tables grow while millions of jobs pass through?

A producer keeps a number of jobs waiting, a worker runs them, and now and then the tables are measured.
The live table should stay as large as what waits needs, whatever has passed through it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from dataclasses import dataclass

import click
import psycopg

import forthwith
from benchmarks.server import open_server

BATCH_SIZE = 1000
SIZES = """
select pg_table_size('forthwith.job'), pg_indexes_size('forthwith.job'),
    (select n_dead_tup from pg_stat_all_tables where relid = 'forthwith.job'::regclass),
    (select autovacuum_count from pg_stat_all_tables where relid = 'forthwith.job'::regclass),
    (select sum(pg_total_relation_size(relid)) from pg_partition_tree('forthwith.finished_job')),
    (select count(*) from forthwith.job)
"""


@dataclass(slots=True)
class Passed:
    """How many jobs have been deferred, and how many have run."""

    deferred: int = 0
    ran: int = 0


@click.command()
@click.option("--jobs", type=click.IntRange(BATCH_SIZE), default=1_000_000, show_default=True)
@click.option("--waiting", type=click.IntRange(1), default=50_000, show_default=True)
@click.option(
    "--rows", type=click.IntRange(1), default=10, show_default=True, help="Lines printed."
)
@click.option("--database", metavar="URL", help="A server of yours instead of the embedded one.")
def main(jobs: int, waiting: int, rows: int, database: str | None) -> None:
    """Let JOBS jobs pass through the tables, with WAITING jobs ahead, and print how large they are."""
    logging.getLogger("forthwith").setLevel(logging.WARNING)
    with open_server(database) as server, server.database() as url:
        asyncio.run(_run(url, jobs, waiting, rows))


async def _run(url: str, jobs: int, waiting: int, rows: int) -> None:
    app = forthwith.App(url)
    passed = Passed()

    @app.task(name="bloat")
    async def bloat() -> None:
        passed.ran += 1

    async with app.open_async():
        await app.migrate_async()
        producer = asyncio.create_task(_produce(bloat, passed, jobs, waiting))
        worker = asyncio.create_task(
            app.run_worker_async(concurrency=100, install_signal_handlers=False)
        )
        await _watch(url, passed, jobs, rows)
        await producer
        worker.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await worker


async def _produce(
    task: forthwith.Task[[], object, []], passed: Passed, jobs: int, waiting: int
) -> None:
    batch: list[dict[str, object]] = [{}] * BATCH_SIZE
    while passed.deferred < jobs:
        if passed.deferred - passed.ran < waiting:
            await task.batch_defer_async(*batch)
            passed.deferred += BATCH_SIZE
        else:
            await asyncio.sleep(0.01)


async def _watch(url: str, passed: Passed, jobs: int, rows: int) -> None:
    click.echo(
        "   jobs run  jobs/s  live rows  live MB  indexes MB  dead rows  vacuums  history MB"
    )
    since_s, before = time.monotonic(), 0
    for row in range(1, rows + 1):
        # What is waited for is a number that another task counts up.
        while passed.ran < jobs * row // rows:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        now_s = time.monotonic()
        table, indexes, dead, vacuums, history, live = await asyncio.to_thread(_sizes, url)
        click.echo(
            f"{passed.ran:11,} {(passed.ran - before) / (now_s - since_s):7,.0f} {live:10,}"
            f" {table / 1e6:8.1f} {indexes / 1e6:11.1f} {dead:10,} {vacuums:8} {history / 1e6:11.1f}"
        )
        since_s, before = now_s, passed.ran


def _sizes(url: str) -> tuple[int, int, int, int, int, int]:
    with psycopg.connect(url, autocommit=True) as connection:
        (row,) = connection.execute(SIZES).fetchall()
        table, indexes, dead, vacuums, history, live = (int(value) for value in row)
        return table, indexes, dead, vacuums, history, live


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.bloat")
