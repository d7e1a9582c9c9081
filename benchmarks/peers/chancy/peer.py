"""Chancy: asyncio's executor (threads for jobs that block), outcomes written every 10 ms.

It runs as many jobs at once as it fetches, so a larger concurrency makes its batches larger: 1,000
gained about a tenth on 100 in runs side by side. uvloop gained nothing.
"""

from __future__ import annotations

import contextlib
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING

import psycopg_pool
from chancy import Chancy, Job
from psycopg.rows import dict_row

from benchmarks.peers.command import Count, Description, Kind, Order, Start, main
from benchmarks.peers.postgresql import OWN_INSERT, OWN_TABLE, callers, looking
from benchmarks.peers.protocol import Sizes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

CONCURRENCY = 1_000
THREADS = 100
ATTEMPTS = 3
CONNECTIONS = 10
SUCCEEDED_SQL = "select count(*) from chancy_jobs where state = 'succeeded'"
UNFINISHED_SQL = (
    "select count(*) from chancy_jobs where state in ('pending', 'running', 'retrying')"
)


class ChancyDeferrer:
    """Defers with `push`, `push_many` and, in a transaction, `push_ex`."""

    def __init__(self, app: Chancy, database: str) -> None:
        self._app = app
        self._database = database

    async def batch(self, kind: Kind, numbers: Sequence[int]) -> None:
        """Defer many in one call."""
        jobs = [_job(kind, number) for number in numbers]
        async for _ in self._app.push_many(jobs, batch_size=len(jobs)):
            pass

    async def one(self, kind: Kind, number: int) -> None:
        """Defer one."""
        await self._app.push(_job(kind, number))

    async def singles(self, kind: Kind, numbers: Sequence[int], count: int) -> None:
        """Each caller is a coroutine."""
        await callers(numbers, count, lambda number: self.one(kind, number))

    async def transactions(self, kind: Kind, numbers: Sequence[int], count: int) -> None:
        """Each caller has a connection of its own pool, as many as there are callers."""
        async with psycopg_pool.AsyncConnectionPool(
            self._database, min_size=count, max_size=count
        ) as pool:
            await pool.wait()

            async def defer(number: int) -> None:
                async with (
                    pool.connection() as connection,
                    connection.cursor(row_factory=dict_row) as cursor,
                ):
                    await cursor.execute(OWN_INSERT.format("%s"), [number])
                    await self._app.push_ex(cursor, _job(kind, number))

            await callers(numbers, count, defer)


class ChancyPeer:
    """See `benchmarks.peers.command.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="Chancy",
            version=version("chancy"),
            settings={
                "driver": f"psycopg {version('psycopg')}, binary",
                "event loop": "asyncio",
                "executor": f"Async (jobs that block: Threaded, up to {THREADS} threads)",
                "concurrency": f"{CONCURRENCY} (io jobs: as asked for)",
                "eager polling": "on",
                "send_outgoing_interval": "0.01 s",
                "history": "finished jobs kept",
            },
            sizes=Sizes(
                burn_down=5_000,
                burn_down_quick=1_500,
                memory_waiting=8_000,
                memory_waiting_quick=3_000,
                memory_drained=2_000,
            ),
            backend="postgresql",
            kinds=("noop", "io", "thread", "cpu", "fail_once"),
            abilities=("batch", "single", "transaction", "processes", "stop"),
            succeeded_sql=SUCCEEDED_SQL,
            unfinished_sql=UNFINISHED_SQL,
        )

    def start(self, order: Order) -> Start:
        """One worker for each process."""
        threads = min(order.concurrency, THREADS)
        wanted = {"io": order.concurrency, "thread": threads, "cpu": threads}
        return Start(
            arguments=("benchmarks.peers.chancy.worker", order.kind),
            commands=order.processes or 1,
            concurrency=wanted.get(order.kind, CONCURRENCY),
            stop_signal=signal.SIGTERM,
        )

    async def install(self, database: str) -> None:
        """Install its schema, and the table of what a caller does besides."""
        async with Chancy(database) as app:
            await app.migrate()
            async with app.pool.connection() as connection:
                await connection.execute(OWN_TABLE)

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[ChancyDeferrer]:
        """Open what defers."""
        async with Chancy(database, max_connection_pool_size=CONNECTIONS) as app:
            yield ChancyDeferrer(app, database)

    def unfinished(
        self, database: str
    ) -> AbstractAsyncContextManager[Callable[[], Awaitable[int]]]:
        """Open a connection that looks."""
        return looking(database, UNFINISHED_SQL)

    async def count(self, database: str) -> Count:
        """Never asked: PostgreSQL is counted by SQL."""
        raise NotImplementedError


def _job(kind: Kind, number: int) -> Job:
    func = f"benchmarks.peers.chancy.tasks.{kind}"
    return Job(func=func, kwargs={"number": number}, max_attempts=ATTEMPTS)


if __name__ == "__main__":
    main(ChancyPeer())
