"""Procrastinate's connector, on our database: opening and closing, and whatever SQL users run by it."""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from typing import TYPE_CHECKING, Any, TypeVar

from procrastinate.connector import BaseAsyncConnector
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from forthwith import upstream
from forthwith.database.bridge import Bridge
from forthwith.database.database import Database
from forthwith.database.pool import Pool
from forthwith.errors import NoResult
from forthwith.store import migrate
from forthwith.store.jobs import JobQueries
from forthwith.store.results import Results
from forthwith.store.shared_defer import SharedDefer
from forthwith.store.statements import DEFAULT_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from procrastinate.connector import BaseConnector, Notify
    from psycopg_pool import AsyncConnectionPool, ConnectionPool

R = TypeVar("R")


class Session:
    """What talks to the database from one event loop: a pool, the queries on it, the shared defers, and
    who waits for results.
    """

    def __init__(
        self,
        database: Database,
        schema: str,
        given: AsyncConnectionPool[Any] | None = None,
    ) -> None:
        self._database = database
        self._schema = schema
        self._ready = asyncio.Lock()
        self._is_ready = False
        self.pool = Pool(database, given=given)
        self.queries = JobQueries(self.pool, schema=schema)
        self.shared_defer = SharedDefer(self.pool, self.queries.deferring)
        self.results = Results(database, self.queries, schema=schema)

    async def open(self) -> None:
        """Connect; an embedded database gets the schema. Raises `DatabaseUnavailable`, `SchemaError`."""
        async with self._ready:
            if self._is_ready:
                return
            await self.pool.open()
            try:
                await self._migrate_embedded()
            except BaseException:
                await self.pool.close()  # a pool left half open keeps its event loop from ending
                raise
            self._is_ready = True

    async def _migrate_embedded(self) -> None:
        if self._database.is_embedded:
            async with self.pool.connection() as connection:
                await migrate.migrate(connection, self._schema)

    async def close(self) -> None:
        """Close the pool, and what listens beside it."""
        await self.results.close()
        await self.pool.close()


class Connector(BaseAsyncConnector):
    """Opens by itself when first used. Synchronous calls, and asynchronous ones from a loop in which
    the app was not opened, go through one event loop in the background.
    """

    def __init__(
        self,
        database: Database,
        *,
        schema: str = DEFAULT_SCHEMA,
        json_dumps: Callable[[Any], str | bytes] | None = None,
        json_loads: Callable[[str], Any] | None = None,
    ) -> None:
        self.database = database
        self.schema = schema
        self.json_dumps = json_dumps
        self.json_loads = json_loads
        self._bridge = Bridge()
        self._background: Session | None = None
        self._opened: Session | None = None
        self._opened_loop: asyncio.AbstractEventLoop | None = None
        self._pid = os.getpid()
        self._left_to_parent: list[Session | None] = []
        _CONNECTORS.add(self)

    def get_sync_connector(self) -> BaseConnector:
        """Return itself: it does both."""
        return self

    # -- opening and closing ------------------------------------------------------------------------

    def open(self, pool: ConnectionPool[Any] | None = None) -> None:
        """Open for synchronous use. A pool from outside only says where the database is."""
        if pool is not None:
            self._move_to(pool)
        self.run(_nothing)

    def close(self) -> None:
        """Close what was opened for synchronous use."""
        self._leave_to_parent()
        if self._bridge.is_running:
            session, self._background = self._background, None
            if session is not None:
                self._bridge.run(session.close())
            self._bridge.stop()
        self._background = None
        if self._opened is None:
            self.database.release()

    async def open_async(self, pool: AsyncConnectionPool[Any] | None = None) -> None:
        """Open for use in this event loop, on a pool from outside if one is given."""
        if self._opened is not None and self._opened_loop is asyncio.get_running_loop():
            return
        if pool is not None:
            self._move_to(pool)
        session = Session(self.database, self.schema, pool)
        await session.open()
        self._opened, self._opened_loop = session, asyncio.get_running_loop()

    async def close_async(self) -> None:
        """Close what `open_async` opened."""
        session, self._opened = self._opened, None
        self._opened_loop = None
        if session is not None:
            await session.close()
        if self._background is not None and self._bridge.is_running:
            await asyncio.to_thread(self.close)
        else:
            self.database.release()

    def _move_to(self, pool: ConnectionPool[Any] | AsyncConnectionPool[Any]) -> None:
        """Connect to the pool's database from now on, also beside the pool, as the worker does.

        As in Procrastinate, the parameters given to the constructor count no more.
        """
        if isinstance(pool.conninfo, str) and not callable(pool.kwargs):
            self.database = Database(upstream.conninfo_from(pool.conninfo, pool.kwargs))

    # -- running coroutines on a session ------------------------------------------------------------

    def run(self, work: Callable[[Session], Awaitable[R]]) -> R:
        """Run synchronously."""
        self._leave_to_parent()
        return self._bridge.run(self._in_background(work))

    async def call(self, work: Callable[[Session], Awaitable[R]]) -> R:
        """Run in this event loop, if the app was opened in it, or else in the background."""
        self._leave_to_parent()
        if self._opened is not None and self._opened_loop is asyncio.get_running_loop():
            return await work(self._opened)
        return await self._bridge.call(self._in_background(work))

    def _leave_to_parent(self) -> None:
        """After a fork, start afresh: the sockets are the parent's, and must not even be closed here."""
        if self._pid != os.getpid():
            self._left_to_parent += [self._background, self._opened]
            self._background = self._opened = self._opened_loop = None
            self._pid = os.getpid()

    async def _in_background(self, work: Callable[[Session], Awaitable[R]]) -> R:
        if self._background is None:
            self._background = Session(self.database, self.schema)
        await self._background.open()
        return await work(self._background)

    # -- Procrastinate's interface for SQL ----------------------------------------------------------

    async def execute_query_async(self, query: str, **arguments: Any) -> None:
        """Run a statement."""
        await self.call(lambda session: _execute(session, query, arguments))

    async def execute_query_one_async(self, query: str, **arguments: Any) -> dict[str, Any]:
        """Run a statement and return its first row. Raises `NoResult`."""
        rows = await self.execute_query_all_async(query, **arguments)
        if not rows:
            raise NoResult
        return rows[0]

    async def execute_query_all_async(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        """Run a statement and return its rows."""
        return await self.call(lambda session: _execute(session, query, arguments))

    def execute_query(self, query: str, **arguments: Any) -> None:
        """Run a statement, synchronously."""
        self.run(lambda session: _execute(session, query, arguments))

    def execute_query_one(self, query: str, **arguments: Any) -> dict[str, Any]:
        """Run a statement and return its first row, synchronously. Raises `NoResult`."""
        rows = self.execute_query_all(query, **arguments)
        if not rows:
            raise NoResult
        return rows[0]

    def execute_query_all(self, query: str, **arguments: Any) -> list[dict[str, Any]]:
        """Run a statement and return its rows, synchronously."""
        return self.run(lambda session: _execute(session, query, arguments))

    async def listen_notify(self, on_notification: Notify, channels: Iterable[str]) -> None:
        """Not used: forthwith's worker has a listener of its own."""
        raise NotImplementedError("forthwith's worker listens by itself")


async def _nothing(_session: Session) -> None:
    """Opening the session was all."""


async def _execute(session: Session, query: str, arguments: dict[str, Any]) -> list[dict[str, Any]]:
    parameters = {name: _adapted(value) for name, value in arguments.items()} or None
    async with (
        session.pool.connection() as connection,
        connection.cursor(row_factory=dict_row) as cursor,
    ):
        await cursor.execute(query.encode(), parameters)
        return await cursor.fetchall() if cursor.description is not None else []


def _adapted(value: Any) -> Any:
    return Jsonb(value) if isinstance(value, dict) else value


_CONNECTORS: weakref.WeakSet[Connector] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what nobody closed, so that no connection is reported as leaked."""
    for connector in list(_CONNECTORS):
        connector.close()
