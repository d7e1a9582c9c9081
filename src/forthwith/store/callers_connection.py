"""From a connection or session of the caller's to the psycopg connection under it, in a transaction.

Our statements go past SQLAlchemy and Django, straight to the driver. So both must know that a
transaction has begun, or they would not commit it. Neither is imported unless the caller uses it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

import psycopg
from psycopg.pq import TransactionStatus

from forthwith.database.failures import translated
from forthwith.errors import InvalidArgument, SchemaMissing

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy

ARGUMENT = "connection"
BLOCKING = "a psycopg.Connection, a SQLAlchemy Connection or Session, or Django's connection"
ASYNC = "a psycopg.AsyncConnection, or a SQLAlchemy AsyncConnection or AsyncSession"


async def async_connection(connection: object) -> psycopg.AsyncConnection[Any]:
    """Return the driver's connection under an asynchronous one of the caller's.

    Unless it commits by itself, the transaction that the caller will commit has begun then. Raises
    `InvalidArgument` for anything else, and lets pass what SQLAlchemy raises.
    """
    if _comes_from(connection, "sqlalchemy"):
        driver = await _of_async_sqlalchemy(connection)
    elif isinstance(connection, psycopg.AsyncConnection):
        driver = connection
    else:
        _refuse(connection, ASYNC)
    if _is_at_rest(driver):
        await psycopg.AsyncCursor(driver).execute("select")
    return driver


def blocking_connection(connection: object) -> psycopg.Connection[Any]:
    """As `async_connection`, under a synchronous one."""
    if _comes_from(connection, "sqlalchemy"):
        driver = _of_sqlalchemy(connection)
    elif _comes_from(connection, "django"):
        driver = _of_django(connection)
    elif isinstance(connection, psycopg.Connection):
        driver = connection
    else:
        _refuse(connection, BLOCKING)
    if _is_at_rest(driver):
        psycopg.Cursor(driver).execute("select")
    return driver


@contextmanager
def in_callers_transaction() -> Iterator[None]:
    """Turn psycopg's errors into ours, as `translated`, and say which database lacks the schema."""
    try:
        with translated():
            yield
    except SchemaMissing as error:
        raise SchemaMissing(
            "The connection's database has no forthwith schema. Pass a connection to the database "
            "that the app works on, or create the schema there with `forthwith migrate`"
        ) from error


def check_sees_lines(isolation: str) -> None:
    """Raise `InvalidArgument` unless a transaction that ends a job with a lock sees who waits for it.

    With a snapshot from its beginning it would overlook a job that was put in line since, and leave it
    there with nobody to let it go.
    """
    if isolation != "read committed":
        raise InvalidArgument(
            ARGUMENT,
            f"has the isolation {isolation}, and the job has a lock: its transaction would not see the next "
            "job in the lock's line. Use a transaction of read committed",
        )


def is_async(connection: object) -> bool:
    """Whether a connection of the caller's is an asynchronous one."""
    if _comes_from(connection, "sqlalchemy"):
        from sqlalchemy.ext import asyncio as async_sqlalchemy

        return isinstance(
            connection,
            async_sqlalchemy.AsyncConnection
            | async_sqlalchemy.AsyncSession
            | async_sqlalchemy.async_scoped_session,
        )
    return isinstance(connection, psycopg.AsyncConnection)


def _comes_from(connection: object, package: str) -> bool:
    return any(kind.__module__.partition(".")[0] == package for kind in type(connection).__mro__)


def _is_at_rest(driver: psycopg.AsyncConnection[Any] | psycopg.Connection[Any]) -> bool:
    """Whether psycopg would begin a transaction with the next statement, and has not yet.

    psycopg's own `transaction()` would then not be a savepoint in the transaction that the caller
    commits or rolls back, but one of its own, committed at once.
    """
    return not driver.autocommit and driver.info.transaction_status is TransactionStatus.IDLE


# -- SQLAlchemy -------------------------------------------------------------------------------------


def _of_sqlalchemy(connection: Any) -> psycopg.Connection[Any]:
    import sqlalchemy
    from sqlalchemy import orm

    if isinstance(connection, orm.Session | orm.scoped_session):
        connection = connection.connection()
    elif not isinstance(connection, sqlalchemy.Connection):
        _refuse(connection, BLOCKING)
    _check_driver(connection)
    if not connection.in_transaction():
        connection.begin()
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):  # an asynchronous one, inside `run_sync`
        _refuse(connection, f"{BLOCKING} over a synchronous driver")
    return driver


async def _of_async_sqlalchemy(connection: Any) -> psycopg.AsyncConnection[Any]:
    from sqlalchemy.ext import asyncio as async_sqlalchemy

    if isinstance(
        connection, async_sqlalchemy.AsyncSession | async_sqlalchemy.async_scoped_session
    ):
        connection = await connection.connection()
    elif not isinstance(connection, async_sqlalchemy.AsyncConnection):
        _refuse(connection, ASYNC)
    if connection.sync_connection is not None:
        _check_driver(connection.sync_connection)
    raw = await connection.get_raw_connection()
    if not connection.in_transaction():
        await connection.begin()
    driver = raw.driver_connection
    assert isinstance(driver, psycopg.AsyncConnection)
    return driver


def _check_driver(connection: sqlalchemy.Connection) -> None:
    from sqlalchemy.engine import TwoPhaseTransaction

    dialect = connection.dialect
    if (dialect.name, dialect.driver) != ("postgresql", "psycopg"):
        raise InvalidArgument(
            ARGUMENT,
            f"uses {dialect.name}+{dialect.driver}; forthwith works on psycopg 3: make the engine with "
            "a URL that begins with postgresql+psycopg://",
        )
    if isinstance(connection.get_transaction(), TwoPhaseTransaction):
        raise InvalidArgument(
            ARGUMENT,
            "is in a two-phase transaction, which PostgreSQL does not prepare once it has notified a "
            "worker: use an ordinary transaction",
        )


# -- Django -----------------------------------------------------------------------------------------


def _of_django(connection: Any) -> psycopg.Connection[Any]:
    if not hasattr(connection, "ensure_connection"):
        _refuse(connection, BLOCKING)
    if connection.vendor == "postgresql":
        connection.validate_no_broken_transaction()  # as Django does before each statement
        connection.ensure_connection()
        if isinstance(connection.connection, psycopg.Connection):
            return connection.connection
    driver = connection.Database.__name__.partition(".")[0]
    raise InvalidArgument(
        ARGUMENT,
        f"uses Django's {connection.vendor} backend on {driver}; forthwith works on PostgreSQL and "
        "psycopg 3: install psycopg, which Django prefers to psycopg2",
    )


# ---------------------------------------------------------------------------------------------------


def _refuse(connection: object, expected: str) -> NoReturn:
    kind = type(connection)
    problem = f"must be {expected} here, not {kind.__module__}.{kind.__qualname__}"
    if expected is BLOCKING and is_async(connection):
        problem += "; with an asynchronous one call the method whose name ends in _async"
    elif expected is ASYNC and isinstance(connection, psycopg.Connection):
        problem += "; with a synchronous one call the method without _async"
    raise InvalidArgument(ARGUMENT, problem)
