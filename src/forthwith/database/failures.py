"""What PostgreSQL's errors mean to us: try again, migrate, or a fault of the statement."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors

from forthwith.errors import (
    ConnectorException,
    DatabaseUnavailable,
    NotPermitted,
    SchemaMissing,
    SchemaTooOld,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# psycopg files most of what passes by itself under OperationalError: lost connections, shutdown,
# deadlocks, serialization failures, timeouts, a full disk, too many clients; the pool's own errors are in
# that class, too. These are the others.
TRANSIENT = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,  # a standby, before a failover has reached the URL
    errors.TransactionTimeout,
    errors.IdleInTransactionSessionTimeout,
    # Somebody changed the session under us, such as a pooler's DISCARD ALL. A new one is as it should be.
    errors.InvalidSqlStatementName,
    errors.DuplicatePreparedStatement,
    errors.InternalError_,  # an object was changed or dropped while a statement used it
    OSError,
)
# And these are in that class, but are the statement's own fault.
LASTING = (
    errors.ProgramLimitExceeded,
    errors.StatementTooComplex,
    errors.TooManyColumns,
    errors.TooManyArguments,
)
# Functions of the server whose errors pass by themselves although their code says otherwise.
TRANSIENT_SOURCES = frozenset(
    {
        "RevalidateCachedQuery",  # a prepared statement's plan is out of date
        "ExecPartitionCheckEmitError",  # a day's partition came while a row was on its way elsewhere
        "GetNewTransactionId",  # ids have run out until a vacuum ends
        "GetNewMultiXactId",
    }
)
MISSING = (
    errors.UndefinedTable,
    errors.InvalidSchemaName,
    errors.UndefinedObject,
)
OUTDATED = (errors.UndefinedColumn, errors.UndefinedFunction)


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's errors into ours.

    Raises `DatabaseUnavailable` for what may pass by itself, `SchemaMissing` and `SchemaTooOld` for
    what a migration mends, `NotPermitted` for what a grant mends, and Procrastinate's
    `ConnectorException` for the rest; the cause is kept.
    """
    try:
        yield
    except (psycopg.Error, OSError) as error:
        raise _ours(error) from error


def is_transient(error: BaseException) -> bool:
    """Whether what failed may pass by itself, so that trying again on a new connection helps."""
    if isinstance(error, psycopg.Error) and error.diag.source_function in TRANSIENT_SOURCES:
        return True
    return isinstance(error, TRANSIENT) and not isinstance(error, LASTING)


def is_of_standby(error: BaseException) -> bool:
    """Whether the session cannot write, and never will: another one, by the same URL, may."""
    return isinstance(error, errors.ReadOnlySqlTransaction) or isinstance(
        error.__cause__, errors.ReadOnlySqlTransaction
    )


def _ours(error: psycopg.Error | OSError) -> ConnectorException:
    if is_transient(error):
        return DatabaseUnavailable(_unavailable(error))
    if isinstance(error, MISSING):
        return SchemaMissing()
    if isinstance(error, OUTDATED):
        return SchemaTooOld()
    if isinstance(error, errors.InsufficientPrivilege):
        return NotPermitted(_not_permitted(error))
    return ConnectorException(f"The database refused a statement: {_text(error)}")


def _unavailable(error: BaseException) -> str:
    return (
        f"The database cannot be used at present ({_text(error)}). Check that PostgreSQL runs and that "
        "the URL (App(...), FORTHWITH_DATABASE_URL) names it"
    )


def _not_permitted(error: BaseException) -> str:
    return (
        f"This connection's role may not do that ({_text(error)}). The schema's owner can let it: "
        "`forthwith grant --defer ROLE` to defer jobs, `forthwith grant --work ROLE` for the rest"
    )


def _text(error: BaseException) -> str:
    # Of what the server says no more than the message: a detail or context may show a job's arguments.
    text = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return " ".join((text or str(error)).split()) or type(error).__name__
