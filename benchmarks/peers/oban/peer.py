"""Oban for Python, the open-source package: embedded, with nothing between two fetches.

Its Pro package inserts and acknowledges in bulk, and starts processes; that one is not measured,
as it is sold. The open-source one sends a statement for each insert and each outcome. It runs all
jobs on its event loop, so blocking jobs in threads are not offered, and needs Python 3.12.
A queue's limit of 1,000 without the debounce of 5 ms gained about a quarter on 100 with it, in runs
side by side; uvloop is what its own command line runs on.
"""

from __future__ import annotations

import contextlib
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import psycopg_pool
from oban import Job, Oban
from oban.schema import install

from benchmarks.peers.command import Count, Description, Kind, Order, Start, main
from benchmarks.peers.postgresql import OWN_INSERT, OWN_TABLE, callers, looking
from benchmarks.peers.protocol import Sizes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

LIMIT = 1_000
CONNECTIONS = 10
WORKERS: Final = {"noop": "Noop", "io": "Io", "cpu": "Cpu", "fail_once": "FailOnce"}
SUCCEEDED_SQL = "select count(*) from oban_jobs where state = 'completed'"
UNFINISHED_SQL = (
    "select count(*) from oban_jobs where state in ('available', 'scheduled', 'executing',"
    " 'retryable')"
)


class ObanDeferrer:
    """Defers with `enqueue` and `enqueue_many`."""

    def __init__(self, oban: Oban, database: str) -> None:
        self._oban = oban
        self._database = database

    async def batch(self, kind: Kind, numbers: Sequence[int]) -> None:
        """Defer many in one call."""
        await self._oban.enqueue_many(_job(kind, number) for number in numbers)

    async def one(self, kind: Kind, number: int) -> None:
        """Defer one."""
        await self._oban.enqueue(_job(kind, number))

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
                async with pool.connection() as connection:
                    await connection.execute(OWN_INSERT.format("%s"), [number])
                    await self._oban.enqueue(_job(kind, number), conn=connection)

            await callers(numbers, count, defer)


class ObanPeer:
    """See `benchmarks.peers.command.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="Oban (Python)",
            version=version("oban"),
            settings={
                "edition": "open source (Pro, which is sold, inserts and acknowledges in bulk)",
                "driver": f"psycopg {version('psycopg')}, binary",
                "event loop": f"uvloop {version('uvloop')}, as its command line",
                "queue": f"limit {LIMIT} (io jobs: as asked for), debounce 0",
                "stager": "every 0.1 s, for retries",
                "history": "completed jobs kept (pruned after a day, its default)",
            },
            sizes=Sizes(
                burn_down=3_000,
                burn_down_quick=1_000,
                memory_waiting=6_000,
                memory_waiting_quick=2_000,
                memory_drained=1_500,
            ),
            backend="postgresql",
            kinds=("noop", "io", "cpu", "fail_once"),
            abilities=("batch", "single", "transaction", "processes", "stop"),
            succeeded_sql=SUCCEEDED_SQL,
            unfinished_sql=UNFINISHED_SQL,
        )

    def start(self, order: Order) -> Start:
        """One embedding process for each process that is asked for."""
        return Start(
            arguments=("benchmarks.peers.oban.worker",),
            commands=order.processes or 1,
            concurrency=order.concurrency if order.kind == "io" else LIMIT,
            stop_signal=signal.SIGTERM,
        )

    async def install(self, database: str) -> None:
        """Install its schema, and the table of what a caller does besides."""
        async with _opened(database) as pool:
            await install(pool)
            async with pool.connection() as connection:
                await connection.execute(OWN_TABLE)

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[ObanDeferrer]:
        """Open what defers."""
        async with _opened(database) as pool:
            yield ObanDeferrer(Oban(pool=pool), database)

    def unfinished(
        self, database: str
    ) -> AbstractAsyncContextManager[Callable[[], Awaitable[int]]]:
        """Open a connection that looks."""
        return looking(database, UNFINISHED_SQL)

    async def count(self, database: str) -> Count:
        """Never asked: PostgreSQL is counted by SQL."""
        raise NotImplementedError


@contextlib.asynccontextmanager
async def _opened(database: str) -> AsyncIterator[psycopg_pool.AsyncConnectionPool]:
    pool = await Oban.create_pool(database, max_size=CONNECTIONS)
    try:
        yield pool
    finally:
        await pool.close()


def _job(kind: Kind, number: int) -> Job:
    # The worker's name is all that is stored; its module is imported by who runs it.
    return Job(worker=f"benchmarks.peers.oban.tasks.{WORKERS[kind]}", args={"number": number})


if __name__ == "__main__":
    main(ObanPeer())
