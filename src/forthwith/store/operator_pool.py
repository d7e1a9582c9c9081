"""The few connections on which operators ask and act, apart from those of the app."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo
from psycopg.types.datetime import TimestamptzLoader
from psycopg_pool import AsyncConnectionPool

from forthwith.database.pool import TIMEOUT_S, Pool
from forthwith.database.watched import PooledConnection
from forthwith.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from psycopg.abc import Buffer

APPLICATION_NAME = "forthwith desk"
CONNECTIONS_MAX = 4
FIRST_MOMENT = datetime.min.replace(tzinfo=UTC)
LAST_MOMENT = datetime.max.replace(tzinfo=UTC)

# All by the transaction: a pooler may give the session to others between two. No JIT and no parallel
# workers: both are for statements that take seconds, and nobody's question may cost the workers theirs. No
# scans of whole tables either, which the planner prefers where statistics are missing or late.
_BEGIN = """
    begin transaction isolation level {isolation};
    set local search_path = pg_catalog, pg_temp;
    set local timezone = 'UTC';
    set local statement_timeout = '5s';
    set local lock_timeout = '2s';
    set local jit = off;
    set local enable_seqscan = off;
    set local max_parallel_workers_per_gather = 0;
"""
BEGIN_QUESTION = _BEGIN.format(isolation="repeatable read, read only").encode()
"""All statements of a question see the same."""

# Who advances a line must see what came into it while he waited for its head: read committed.
BEGIN_DEED = _BEGIN.format(isolation="read committed, read write").encode()


class TooSlow(DatabaseUnavailable):
    """An operator's question or action took more than five seconds, and was given up.

    The database has much to do, or somebody holds what it needs: try again, or ask for less.
    """


class InTheWay(DatabaseUnavailable):
    """Somebody else holds what an operator's action needs, and did not let go in time. Try again."""


class BoundedTimeLoader(TimestamptzLoader):
    """Reads times that Python's calendar does not hold as its last, or first, moment.

    Somebody's SQL may have written `infinity`; that one row must not hide all others.
    """

    def load(self, data: Buffer) -> datetime:
        """Return the time, in UTC."""
        try:
            return super().load(data)
        except psycopg.DataError:
            is_past = bytes(data).startswith(b"-") or bytes(data).endswith(b"BC")
            return FIRST_MOMENT if is_past else LAST_MOMENT


class OperatorPool(Pool):
    """A pool of one to four connections, which `pg_stat_activity` shows as `forthwith desk`."""

    async def open(self) -> None:
        """Connect once, to fail early and clearly; then open the pool. Raises `DatabaseUnavailable`."""
        async with self._opening:
            if self._pool is not None:
                return
            probe = await self._database.connect()
            await probe.close()
            conninfo = await asyncio.to_thread(self._database.conninfo)
            pool: AsyncConnectionPool[PooledConnection] = AsyncConnectionPool(
                make_conninfo(conninfo, application_name=APPLICATION_NAME),
                connection_class=PooledConnection,
                configure=self._configure,
                min_size=1,
                max_size=CONNECTIONS_MAX,
                kwargs={"autocommit": True},
                open=False,
                timeout=TIMEOUT_S,
                reconnect_timeout=TIMEOUT_S,
                name=APPLICATION_NAME,
            )
            await pool.open()
            self._pool = pool

    async def _configure(self, connection: PooledConnection) -> None:
        await super()._configure(connection)
        connection.adapters.register_loader("timestamptz", BoundedTimeLoader)

    @asynccontextmanager
    async def transaction(self, begin: bytes) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Borrow a connection for a transaction. psycopg's errors come out as ours."""
        async with self.connection() as connection:
            try:
                await connection.execute(begin, prepare=False)
                yield connection
                await connection.commit()
            except BaseException as error:
                if not connection.closed:
                    await connection.rollback()
                if isinstance(error, errors.QueryCanceled):
                    raise TooSlow from error
                if isinstance(error, errors.LockNotAvailable | errors.DeadlockDetected):
                    raise InTheWay from error
                raise
