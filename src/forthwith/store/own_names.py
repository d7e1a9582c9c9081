"""Keeps a session's search_path from putting look-alikes in the place of PostgreSQL's own names."""

from __future__ import annotations

from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

# Our statements write their tables and functions with the schema, but not operators, types and
# PostgreSQL's functions. Without pg_temp in the list temporary types and tables would come first.
OWN_NAMES = "set search_path = pg_catalog, pg_temp;"
"""For sessions that run nothing but our statements."""

_IN_TRANSACTION = "set local search_path = pg_catalog, pg_temp"
_REMEMBER = "select pg_catalog.current_setting('search_path')"
_GIVE_BACK = "select pg_catalog.set_config('search_path', %s, true)"


@asynccontextmanager
async def own_names(connection: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """Do the block in a transaction, or a savepoint, in which names mean PostgreSQL's own.

    For the caller's connections, and for those of a pool: they may serve others between transactions.
    A caller's transaction has its search_path again afterwards; a failed block never changed it.
    """
    is_outermost = connection.info.transaction_status is TransactionStatus.IDLE
    async with (
        connection.transaction(),
        psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor,
    ):
        before = None if is_outermost else await (await cursor.execute(_REMEMBER)).fetchone()
        await cursor.execute(_IN_TRANSACTION)
        yield
        if before is not None:
            await cursor.execute(_GIVE_BACK, before)


@contextmanager
def own_names_blocking(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """As `own_names`, on a synchronous connection."""
    is_outermost = connection.info.transaction_status is TransactionStatus.IDLE
    with connection.transaction(), psycopg.Cursor(connection, row_factory=tuple_row) as cursor:
        before = None if is_outermost else cursor.execute(_REMEMBER).fetchone()
        cursor.execute(_IN_TRANSACTION)
        yield
        if before is not None:
            cursor.execute(_GIVE_BACK, before)
