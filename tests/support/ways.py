"""Every way in which a task's own SQL can commit with its job's completion.

Each is a context manager that gives `execute`; at the end of the block the job is completed, then all
of it committed.
"""

from __future__ import annotations

from contextlib import asynccontextmanager, closing, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import orm, pool
from sqlalchemy.ext import asyncio as async_sqlalchemy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    import forthwith

DIALECT = "postgresql+psycopg://"


@asynccontextmanager
async def _closing(connection: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """As `contextlib.closing`: psycopg's own block leaves the connection open when a commit fails."""
    try:
        yield
    finally:
        await connection.close()


@asynccontextmanager
async def async_transaction(
    context: forthwith.JobContext, url: str
) -> AsyncIterator[Callable[[str], Any]]:
    async with context.transaction() as connection:
        yield connection.execute


@asynccontextmanager
async def async_psycopg(
    context: forthwith.JobContext, url: str
) -> AsyncIterator[Callable[[str], Any]]:
    connection = await psycopg.AsyncConnection.connect(url)
    async with _closing(connection):
        yield connection.execute
        await context.complete_in(connection)
        await connection.commit()


@asynccontextmanager
async def async_autocommit_psycopg(
    context: forthwith.JobContext, url: str
) -> AsyncIterator[Callable[[str], Any]]:
    async with (
        await psycopg.AsyncConnection.connect(url, autocommit=True) as connection,
        connection.transaction(),
    ):
        yield connection.execute
        await context.complete_in(connection)


def _async_engine(url: str) -> async_sqlalchemy.AsyncEngine:
    return async_sqlalchemy.create_async_engine(
        DIALECT, connect_args=conninfo_to_dict(url), poolclass=pool.NullPool
    )


@asynccontextmanager
async def async_connection(
    context: forthwith.JobContext, url: str
) -> AsyncIterator[Callable[[str], Any]]:
    async with _async_engine(url).begin() as connection:
        yield lambda text: connection.execute(sqlalchemy.text(text))
        await context.complete_in(connection)


@asynccontextmanager
async def async_session(
    context: forthwith.JobContext, url: str
) -> AsyncIterator[Callable[[str], Any]]:
    async with async_sqlalchemy.AsyncSession(_async_engine(url)) as session, session.begin():
        yield lambda text: session.execute(sqlalchemy.text(text))
        await context.complete_in(session)


@contextmanager
def transaction(context: forthwith.JobContext, url: str) -> Iterator[Callable[[str], Any]]:
    with context.transaction() as connection:
        yield connection.execute


@contextmanager
def plain_psycopg(context: forthwith.JobContext, url: str) -> Iterator[Callable[[str], Any]]:
    with closing(psycopg.connect(url)) as connection:
        yield connection.execute
        context.complete_in(connection)
        connection.commit()


def _engine(url: str) -> sqlalchemy.Engine:
    return sqlalchemy.create_engine(
        DIALECT, connect_args=conninfo_to_dict(url), poolclass=pool.NullPool
    )


@contextmanager
def connection(context: forthwith.JobContext, url: str) -> Iterator[Callable[[str], Any]]:
    with _engine(url).begin() as connection:
        yield lambda text: connection.execute(sqlalchemy.text(text))
        context.complete_in(connection)


@contextmanager
def session(context: forthwith.JobContext, url: str) -> Iterator[Callable[[str], Any]]:
    with orm.Session(_engine(url)) as session, session.begin():
        yield lambda text: session.execute(sqlalchemy.text(text))
        context.complete_in(session)


@contextmanager
def django_atomic(context: forthwith.JobContext, url: str) -> Iterator[Callable[[str], Any]]:
    from django.db import connection
    from django.db import transaction as django_transaction

    from tests.support import django_site

    with django_site.on_database(url), django_transaction.atomic():
        yield lambda text: connection.cursor().execute(text)
        context.complete_in(connection)


ASYNC: tuple[Any, ...] = (
    async_transaction,
    async_psycopg,
    async_autocommit_psycopg,
    async_connection,
    async_session,
)
SYNC: tuple[Any, ...] = (transaction, plain_psycopg, connection, session, django_atomic)
