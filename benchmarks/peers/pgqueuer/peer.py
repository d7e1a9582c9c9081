"""PgQueuer 1.6: durable tables, the log table kept, batches of 200, asyncpg and uvloop.

Driver and event loop are among those of its own benchmark. The pool is the faster driver of the
two for asyncpg: it can claim and complete at the same time (about a fifth more jobs/s than on one
connection, in runs that alternated). Concurrency is unlimited, its default.
The queue gets the autovacuum settings that `pgq autovac` applies.
"""

from __future__ import annotations

import contextlib
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from benchmarks.peers.protocol import Description, Order, Sizes, main

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from pgqueuer.models import Job

ENTRYPOINT = "nothing"
DEQUEUE_BATCH_SIZE = 200
UNFINISHED_SQL = "select count(*) from pgqueuer"


class PgQueuerDeferrer:
    """Defers with `enqueue`."""

    def __init__(self, queries: Queries) -> None:
        self._queries = queries

    async def defer_batch(self, numbers: Sequence[int]) -> None:
        """Defer many in one call."""
        payloads: list[bytes | None] = [str(number).encode() for number in numbers]
        await self._queries.enqueue([ENTRYPOINT] * len(numbers), payloads, [0] * len(numbers))

    async def defer_one(self, number: int) -> None:
        """Defer one."""
        await self._queries.enqueue(ENTRYPOINT, str(number).encode())


class PgQueuerPeer:
    """See `benchmarks.peers.protocol.Peer`."""

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
            },
            sizes=Sizes(
                burn_down=50_000,
                burn_down_quick=20_000,
                memory_waiting=100_000,
                memory_waiting_quick=20_000,
                memory_drained=20_000,
            ),
            succeeded_sql="select count(*) from pgqueuer_log where status = 'successful'",
            unfinished_sql=UNFINISHED_SQL,
        )

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Make the loop that its command line and its benchmark use."""
        return uvloop.new_event_loop()

    async def install(self, database: str) -> None:
        """Install its schema, durable, and the autovacuum settings it recommends."""
        async with _connection(database) as connection:
            queries = Queries(AsyncpgDriver(connection))
            await queries.install()
            await queries.optimize_autovacuum()

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[PgQueuerDeferrer]:
        """Open what defers."""
        async with _connection(database) as connection:
            yield PgQueuerDeferrer(Queries(AsyncpgDriver(connection)))

    async def work(self, order: Order) -> None:
        """Run one worker."""
        logging.getLogger("pgqueuer").setLevel(logging.WARNING)
        async with asyncpg.create_pool(order.database) as pool:
            queuer = PgQueuer(AsyncpgPoolDriver(pool))
            queuer.qm.shutdown = queuer.sm.shutdown = queuer.shutdown = order.stop

            @queuer.entrypoint(ENTRYPOINT)
            async def nothing(job: Job) -> None:
                order.record(int(job.payload or b"-1"))

            mode = QueueExecutionMode.drain if order.until_empty else QueueExecutionMode.continuous
            await queuer.run(batch_size=DEQUEUE_BATCH_SIZE, mode=mode)

    @contextlib.asynccontextmanager
    async def drained(self, database: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        """Open a connection that looks."""
        async with _connection(database) as connection:

            async def look() -> bool:
                return bool(await connection.fetchval(UNFINISHED_SQL) == 0)

            yield look


@contextlib.asynccontextmanager
async def _connection(database: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database)
    try:
        yield connection
    finally:
        await connection.close()


if __name__ == "__main__":
    main(PgQueuerPeer())
