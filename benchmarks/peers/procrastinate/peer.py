"""Procrastinate 3.10 with its defaults: finished jobs stay in its table (`delete_jobs="never"`)."""

from __future__ import annotations

import contextlib
import logging
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING

import procrastinate
import psycopg
import psycopg_pool

from benchmarks.peers.command import Count, Description, Kind, Order, Start, main
from benchmarks.peers.postgresql import OWN_INSERT, OWN_TABLE, callers, looking
from benchmarks.peers.protocol import Sizes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

UNFINISHED_SQL = "select count(*) from procrastinate_jobs where status in ('todo', 'doing')"


class ProcrastinateDeferrer:
    """Defers with `batch_defer_async` and `defer_async`."""

    def __init__(self, app: procrastinate.App, database: str) -> None:
        self._app = app
        self._database = database

    async def batch(self, kind: Kind, numbers: Sequence[int]) -> None:
        """Defer many in one call."""
        deferrer = self._app.configure_task(kind, allow_unknown=True)
        await deferrer.batch_defer_async(*[{"number": number} for number in numbers])

    async def one(self, kind: Kind, number: int) -> None:
        """Defer one."""
        await self._app.configure_task(kind, allow_unknown=True).defer_async(number=number)

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
                    await self._app.configure_task(
                        kind, allow_unknown=True, connection=connection
                    ).defer_async(number=number)

            await callers(numbers, count, defer)


class ProcrastinatePeer:
    """See `benchmarks.peers.command.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="Procrastinate",
            version=version("procrastinate"),
            settings={
                "driver": f"psycopg {version('psycopg')}",
                "event loop": "asyncio",
                "history": "delete_jobs never (default), with its events table",
            },
            sizes=Sizes(
                burn_down=1_000,
                burn_down_quick=400,
                memory_waiting=40_000,
                memory_waiting_quick=10_000,
                memory_drained=600,
            ),
            backend="postgresql",
            kinds=("noop", "io", "thread", "cpu", "fail_once"),
            abilities=("batch", "single", "transaction", "processes", "stop"),
            succeeded_sql="select count(*) from procrastinate_jobs where status = 'succeeded'",
            unfinished_sql=UNFINISHED_SQL,
        )

    def start(self, order: Order) -> Start:
        """One process for each that was asked for."""
        return Start(
            arguments=("benchmarks.peers.procrastinate.worker",),
            commands=order.processes or 1,
            concurrency=order.concurrency,
            stop_signal=signal.SIGTERM,
        )

    async def install(self, database: str) -> None:
        """Apply its schema."""
        async with _app(database).open_async() as app:
            await app.schema_manager.apply_schema_async()
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await connection.execute(OWN_TABLE)

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[ProcrastinateDeferrer]:
        """Open what defers."""
        async with _app(database).open_async() as app:
            yield ProcrastinateDeferrer(app, database)

    def unfinished(
        self, database: str
    ) -> AbstractAsyncContextManager[Callable[[], Awaitable[int]]]:
        """Open a connection that looks."""
        return looking(database, UNFINISHED_SQL)

    async def count(self, database: str) -> Count:
        """Never asked: PostgreSQL is counted by SQL."""
        raise NotImplementedError


def _app(database: str) -> procrastinate.App:
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    return procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database))


if __name__ == "__main__":
    main(ProcrastinatePeer())
