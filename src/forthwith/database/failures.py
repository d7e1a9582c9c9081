"""What PostgreSQL's errors mean to us: try again, migrate, or a fault of the statement."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import psycopg_pool
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
# deadlocks, serialization failures, timeouts, a full disk, too many clients. These are the others.
TRANSIENT = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    errors.ReadOnlySqlTransaction,  # a standby, before a failover has reached the URL
    psycopg_pool.PoolTimeout,
    psycopg_pool.PoolClosed,
    OSError,
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
    except TRANSIENT as error:
        raise DatabaseUnavailable(_unavailable(error)) from error
    except MISSING as error:
        raise SchemaMissing from error
    except OUTDATED as error:
        raise SchemaTooOld from error
    except errors.InsufficientPrivilege as error:
        raise NotPermitted(_not_permitted(error)) from error
    except psycopg.Error as error:
        raise ConnectorException(f"The database refused a statement: {_text(error)}") from error


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
