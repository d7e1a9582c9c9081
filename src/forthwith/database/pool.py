"""A pool of connections in one event loop."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
import weakref
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import AsyncConnectionPool

from forthwith.database.database import SERVER_DEFAULTS
from forthwith.database.failures import is_of_standby, translated
from forthwith.database.inquiry import backend_of
from forthwith.database.watched import PooledConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forthwith.database.database import Database

logger = logging.getLogger(__name__)

FRESH_S = 1.0
SIZE_MAX = 10
TIMEOUT_S = 10.0
CHECK_LIMIT_S = 3.0
CLOSE_LIMIT_S = 0.5


class Pool:
    """Connections in autocommit mode, checked before use if they have rested for a second.

    Those of a pool that was given from outside are as they are: not watched for silence.
    """

    def __init__(
        self, database: Database, *, given: AsyncConnectionPool[Any] | None = None
    ) -> None:
        self._database = database
        self._given = given
        self._pool: AsyncConnectionPool[Any] | None = given
        self._used_s: dict[int, float] = {}
        self._made: weakref.WeakSet[PooledConnection] = weakref.WeakSet()
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """Connect once, to fail early and clearly; then open the pool. Raises `DatabaseUnavailable`."""
        async with self._opening:
            if self._pool is not None:
                return
            probe = await self._database.connect()
            await probe.close()
            pool: AsyncConnectionPool[PooledConnection] = AsyncConnectionPool(
                await asyncio.to_thread(self._database.conninfo),
                connection_class=PooledConnection,
                configure=self._configure,
                min_size=1,
                max_size=SIZE_MAX,
                kwargs={"autocommit": True},
                open=False,
                timeout=TIMEOUT_S,
                reconnect_timeout=TIMEOUT_S,
                name="forthwith",
            )
            await pool.open()
            self._pool = pool

    async def close(self) -> None:
        """Close the pool, unless it was given from outside."""
        if self._pool is not None and self._given is None:
            await self._pool.close(CLOSE_LIMIT_S)
        self._pool = None

    def hang_up(self) -> None:
        """Break the pool's own connections under those who use them."""
        for connection in list(self._made):
            if not connection.closed:
                connection.hang_up()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Borrow a connection. psycopg's errors come out as ours."""
        with translated():
            async with self._borrowed(await self._opened()) as connection:
                if self._given is not None and not connection.autocommit:
                    async with connection.transaction():
                        yield connection
                else:
                    yield connection
                self._used_s[id(connection)] = time.monotonic()

    @asynccontextmanager
    async def lent(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Lend a connection to a user's own statements, whose errors stay psycopg's."""
        with translated():
            pool = await self._opened()
            connection = await self._usable(pool)
        async with _returned_to(pool, connection):
            yield connection

    async def _opened(self) -> AsyncConnectionPool[Any]:
        await self.open()
        assert self._pool is not None
        return self._pool

    @asynccontextmanager
    async def _borrowed(
        self, pool: AsyncConnectionPool[Any]
    ) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        connection = await self._usable(pool)
        async with _returned_to(pool, connection):
            yield connection

    async def _usable(self, pool: AsyncConnectionPool[Any]) -> psycopg.AsyncConnection[Any]:
        """Take a connection that is alive, unless the pool is somebody else's.

        The pool's own checks would rest for 1, 2, 4 and more seconds from one dead connection to the
        next, and after a restart of the server all are.
        """
        give_up_s = time.monotonic() + TIMEOUT_S
        connection: psycopg.AsyncConnection[Any]
        while True:
            left_s = max(0.0, give_up_s - time.monotonic())
            connection = await pool.getconn(None if self._given else left_s)
            is_alive = False
            try:
                is_alive = self._given is not None or await self._is_alive(connection)
            finally:
                if not is_alive:
                    await connection.close()
                    await pool.putconn(connection)
            if is_alive:
                return connection

    async def _configure(self, connection: PooledConnection) -> None:
        await connection.execute(SERVER_DEFAULTS)
        backend = await backend_of(connection)
        connection.is_alive = functools.partial(backend.is_at_work, self._database)
        self._made.add(connection)

    async def _is_alive(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        if len(self._used_s) > 10 * SIZE_MAX:
            self._used_s.clear()
        if time.monotonic() - self._used_s.get(id(connection), 0.0) <= FRESH_S:
            return not connection.closed
        try:
            async with asyncio.timeout(CHECK_LIMIT_S):
                await AsyncConnectionPool.check_connection(connection)
        except (psycopg.Error, TimeoutError):
            return False
        return True


@asynccontextmanager
async def _returned_to(
    pool: AsyncConnectionPool[Any], connection: psycopg.AsyncConnection[Any]
) -> AsyncIterator[None]:
    """Give it back after the block; closed, if it turned out to be to a standby: that never writes."""
    try:
        yield
    except Exception as error:
        if is_of_standby(error):
            await connection.close()
        raise
    finally:
        await pool.putconn(connection)
