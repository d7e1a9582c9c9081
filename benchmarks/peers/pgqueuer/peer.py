"""PgQueuer 1.6: durable tables, the log table kept, batches of 200, asyncpg and uvloop.

Driver and event loop are among those of its own benchmark. The pool is the faster driver of the
two for asyncpg: it can claim and complete at the same time (about a fifth more jobs/s than on one
connection, in runs that alternated). Concurrency is unlimited, its default.
The queue gets the autovacuum settings that `pgq autovac` applies.
Sync functions run as its documentation says: in `asyncio.to_thread`.
"""

from __future__ import annotations

import contextlib
import signal
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING

import asyncpg
import uvloop
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries

from benchmarks.peers.command import Count, Description, Kind, Order, Start, main
from benchmarks.peers.postgresql import OWN_INSERT, OWN_TABLE, callers
from benchmarks.peers.protocol import Sizes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

DEQUEUE_BATCH_SIZE = 200
UNFINISHED_SQL = "select count(*) from pgqueuer"


class PgQueuerDeferrer:
    """Defers with `enqueue`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._queries = Queries(AsyncpgPoolDriver(pool))

    async def batch(self, kind: Kind, numbers: Sequence[int]) -> None:
        """Defer many in one call."""
        payloads: list[bytes | None] = [str(number).encode() for number in numbers]
        await self._queries.enqueue([kind] * len(numbers), payloads, [0] * len(numbers))

    async def one(self, kind: Kind, number: int) -> None:
        """Defer one."""
        await self._queries.enqueue(kind, str(number).encode())

    async def singles(self, kind: Kind, numbers: Sequence[int], count: int) -> None:
        """Each caller is a coroutine; the pool has its default size."""
        await callers(numbers, count, lambda number: self.one(kind, number))

    async def transactions(self, kind: Kind, numbers: Sequence[int], count: int) -> None:
        """Each caller takes a connection of the pool, and defers on it."""

        async def defer(number: int) -> None:
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(OWN_INSERT.format("$1"), number)
                queries = Queries(AsyncpgDriver(connection))
                await queries.enqueue(kind, str(number).encode())

        await callers(numbers, count, defer)


class PgQueuerPeer:
    """See `benchmarks.peers.command.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="PgQueuer",
            version=version("pgqueuer"),
            settings={
                "driver": f"asyncpg {version('asyncpg')}, pool",
                "event loop": f"uvloop {version('uvloop')}",
                "dequeue batch size": str(DEQUEUE_BATCH_SIZE),
                "concurrency": "unlimited (default)",
                "history": "durability durable (default), pgqueuer_log kept",
                "autovacuum": "as pgq autovac sets it",
                "sync functions": "asyncio.to_thread, as documented",
            },
            sizes=Sizes(
                burn_down=40_000,
                burn_down_quick=15_000,
                memory_waiting=100_000,
                memory_waiting_quick=20_000,
                memory_drained=10_000,
            ),
            backend="postgresql",
            kinds=("noop", "io", "thread", "cpu", "fail_once"),
            abilities=("batch", "single", "transaction", "processes", "stop"),
            succeeded_sql="select count(*) from pgqueuer_log where status = 'successful'",
            unfinished_sql=UNFINISHED_SQL,
        )

    def start(self, order: Order) -> Start:
        """One process for each that was asked for."""
        return Start(
            arguments=("benchmarks.peers.pgqueuer.worker",),
            commands=order.processes or 1,
            concurrency=order.concurrency,
            stop_signal=signal.SIGTERM,
        )

    async def install(self, database: str) -> None:
        """Install its schema, durable, and the autovacuum settings it recommends."""
        connection = await asyncpg.connect(database)
        queries = Queries(AsyncpgDriver(connection))
        await queries.install()
        await queries.optimize_autovacuum()
        await connection.execute(OWN_TABLE)
        await connection.close()

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[PgQueuerDeferrer]:
        """Open what defers."""
        async with asyncpg.create_pool(database) as pool:
            yield PgQueuerDeferrer(pool)

    @contextlib.asynccontextmanager
    async def unfinished(self, database: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """Open a connection that looks."""
        connection = await asyncpg.connect(database)

        async def look() -> int:
            return int(await connection.fetchval(UNFINISHED_SQL))

        yield look
        await connection.close()

    async def count(self, database: str) -> Count:
        """Never asked: PostgreSQL is counted by SQL."""
        raise NotImplementedError


if __name__ == "__main__":
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        uvloop.install()  # the loop that its command line and its benchmark use
    main(PgQueuerPeer())
