"""The connections of a caller's on which forthwith works, as types.

SQLAlchemy's and Django's are described by what they do: neither is a dependency.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import psycopg

__all__ = [
    "AsyncConnection",
    "AsyncSQLAlchemyConnection",
    "BlockingConnection",
    "CallersConnection",
    "DjangoConnection",
    "SQLAlchemyConnection",
]


class SQLAlchemyConnection(Protocol):
    """SQLAlchemy's `Connection`, `Session` or `scoped_session`, over the driver psycopg."""

    def begin_nested(self) -> Any:
        """Begin a savepoint."""

    def close(self) -> None:
        """Close it."""


class AsyncSQLAlchemyConnection(Protocol):
    """SQLAlchemy's `AsyncConnection`, `AsyncSession` or `async_scoped_session`, over psycopg."""

    def begin_nested(self) -> Any:
        """Begin a savepoint."""

    def close(self) -> Coroutine[Any, Any, None]:
        """Close it."""


class DjangoConnection(Protocol):
    """Django's `django.db.connection` or `connections["alias"]`, over psycopg 3."""

    @property
    def vendor(self) -> str:
        """The kind of database."""

    def ensure_connection(self) -> None:
        """Connect, if need be."""

    def get_autocommit(self) -> bool:
        """Whether statements are committed one by one."""


BlockingConnection: TypeAlias = "psycopg.Connection[Any] | SQLAlchemyConnection | DjangoConnection"
"""What a synchronous call takes as the caller's connection."""

AsyncConnection: TypeAlias = "psycopg.AsyncConnection[Any] | AsyncSQLAlchemyConnection"
"""What an asynchronous call takes as the caller's connection."""

CallersConnection: TypeAlias = "BlockingConnection | AsyncConnection"
"""What can be given to `configure(connection=...)`."""
