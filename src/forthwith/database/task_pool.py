"""Connections for the threads of sync tasks."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg_pool import ConnectionPool

from forthwith.database.database import SERVER_DEFAULTS
from forthwith.database.failures import is_of_standby, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.database.database import Database

SIZE_MAX = 10
CONNECT_LIMIT_S = 10.0


class TaskPool:
    """Synchronous connections in autocommit mode, made when first needed. Who finds none free waits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._free = threading.BoundedSemaphore(SIZE_MAX)
        self._opening = threading.Lock()
        self._pool: ConnectionPool[Any] | None = None

    @contextmanager
    def lent(self) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection to a user's own statements, whose errors stay psycopg's.

        Raises `DatabaseUnavailable` if none can be made.
        """
        with self._free:  # so that the pool's time limit counts for connecting alone
            with translated():
                pool = self._opened()
                connection = _usable(pool)
            try:
                yield connection
            except Exception as error:
                if is_of_standby(error):
                    connection.close()
                raise
            finally:
                pool.putconn(connection)

    def close(self) -> None:
        """Close what is not in use; the rest closes when it is given back."""
        with self._opening:
            if self._pool is not None:
                self._pool.close()

    def _opened(self) -> ConnectionPool[Any]:
        with self._opening:
            if self._pool is None:
                self._pool = ConnectionPool(
                    self._database.conninfo(),
                    min_size=0,
                    max_size=SIZE_MAX,
                    kwargs={"autocommit": True},
                    open=True,
                    configure=_configure,
                    timeout=CONNECT_LIMIT_S,
                    reconnect_timeout=CONNECT_LIMIT_S,
                    name="forthwith-tasks",
                )
            return self._pool


def _configure(connection: psycopg.Connection[Any]) -> None:
    connection.execute(SERVER_DEFAULTS)


def _usable(pool: ConnectionPool[Any]) -> psycopg.Connection[Any]:
    """Take a connection that is alive. As in `Pool`, the pool's own checks would rest in between."""
    give_up_s = time.monotonic() + CONNECT_LIMIT_S
    connection: psycopg.Connection[Any]
    while True:
        connection = pool.getconn(max(0.0, give_up_s - time.monotonic()))
        try:
            ConnectionPool.check_connection(connection)
        except psycopg.Error:
            connection.close()
            pool.putconn(connection)
        else:
            return connection
