"""A pool of connections in one event loop."""

from __future__ import annotations

import asyncio
import functools
import logging
import time
import weakref
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from psycopg_pool import AsyncConnectionPool

from forthwith.database.database import SERVER_DEFAULTS
from forthwith.database.failures import is_of_standby, translated
from forthwith.database.inquiry import backend_of
from forthwith.database.watched import PooledConnection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import psycopg

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
                check=self._check,
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
        if self._pool is None:
            await self.open()
        assert self._pool is not None
        with translated():
            async with self._pool.connection() as connection, _given_up_if_of_standby(connection):
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
            await self.open()
            assert self._pool is not None
            connection = await self._pool.getconn()
        try:
            async with _given_up_if_of_standby(connection):
                yield connection
        finally:
            await self._pool.putconn(connection)

    async def _configure(self, connection: PooledConnection) -> None:
        await connection.execute(SERVER_DEFAULTS)
        backend = await backend_of(connection)
        connection.is_alive = functools.partial(backend.is_at_work, self._database)
        self._made.add(connection)

    async def _check(self, connection: psycopg.AsyncConnection[Any]) -> None:
        if len(self._used_s) > 10 * SIZE_MAX:
            self._used_s.clear()
        if time.monotonic() - self._used_s.get(id(connection), 0.0) > FRESH_S:
            async with asyncio.timeout(CHECK_LIMIT_S):
                await AsyncConnectionPool.check_connection(connection)


@asynccontextmanager
async def _given_up_if_of_standby(connection: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """Close the connection if it turns out to be to a standby: the pool makes another by the URL."""
    try:
        yield
    except Exception as error:
        if is_of_standby(error):
            await connection.close()
        raise
