"""forthwith with its defaults, in the project's own environment."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from importlib.metadata import version
from typing import TYPE_CHECKING

import psycopg

import forthwith
from benchmarks.peers.protocol import Description, Order, Sizes, main

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

TASK_NAME = "nothing"
UNFINISHED_SQL = "select count(*) from forthwith.job"


class ForthwithDeferrer:
    """Defers with `batch_defer_async` and `defer_async`."""

    def __init__(self, app: forthwith.App) -> None:
        self._deferrer = app.configure_task(TASK_NAME, allow_unknown=True)

    async def defer_batch(self, numbers: Sequence[int]) -> None:
        """Defer many in one call."""
        await self._deferrer.batch_defer_async(*[{"number": number} for number in numbers])

    async def defer_one(self, number: int) -> None:
        """Defer one."""
        await self._deferrer.defer_async(number=number)


class ForthwithPeer:
    """See `benchmarks.peers.protocol.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="forthwith",
            version=version("forthwith"),
            settings={
                "driver": f"psycopg {version('psycopg')}",
                "event loop": "asyncio",
                "history": "forthwith.finished_job (default)",
            },
            sizes=Sizes(
                burn_down=100_000,
                burn_down_quick=50_000,
                memory_waiting=1_000_000,
                memory_waiting_quick=200_000,
                memory_drained=100_000,
            ),
            succeeded_sql="select count(*) from forthwith.finished_job where status = 'succeeded'",
            unfinished_sql=UNFINISHED_SQL,
        )

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Make the standard loop."""
        return asyncio.new_event_loop()

    async def install(self, database: str) -> None:
        """Apply our migrations."""
        async with _app(database).open_async() as app:
            await app.migrate_async()

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[ForthwithDeferrer]:
        """Open what defers."""
        async with _app(database).open_async() as app:
            yield ForthwithDeferrer(app)

    async def work(self, order: Order) -> None:
        """Run one worker."""
        app = _app(order.database)

        @app.task(name=TASK_NAME)
        async def nothing(number: int) -> None:
            order.record(number)

        async with app.open_async():
            worker = asyncio.ensure_future(
                app.run_worker_async(
                    concurrency=order.concurrency,
                    wait=not order.until_empty,
                    delete_jobs="never",
                    install_signal_handlers=False,
                )
            )
            stop = asyncio.ensure_future(order.stop.wait())
            await asyncio.wait({worker, stop}, return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            if not order.until_empty:
                worker.cancel()  # asks it to finish what runs and leave
            with contextlib.suppress(asyncio.CancelledError):
                await worker

    @contextlib.asynccontextmanager
    async def drained(self, database: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        """Open a connection that looks."""
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:

            async def look() -> bool:
                cursor = await connection.execute(UNFINISHED_SQL)
                row = await cursor.fetchone()
                return row is not None and row[0] == 0

            yield look


def _app(database: str) -> forthwith.App:
    logging.getLogger("forthwith").setLevel(logging.WARNING)
    return forthwith.App(database)


if __name__ == "__main__":
    main(ForthwithPeer())
