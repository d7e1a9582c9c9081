"""The lease keeper's statements, synchronous, on a connection of its own."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from forthwith.database.failures import translated
from forthwith.store.own_names import OWN_NAMES
from forthwith.store.statements import DEFAULT_SCHEMA, statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from forthwith.database.database import Database

SETTINGS = f"{OWN_NAMES} set statement_timeout = '10s'"


class PostgresLeases:
    """Fits the engine's `LeaseStore`. The session's advisory lock tells the others that we live."""

    def __init__(
        self,
        database: Database,
        *,
        schema: str = DEFAULT_SCHEMA,
        name: str,
        queues: Sequence[str] | None,
        concurrency: int,
        lease_s: float,
        renew_interval_s: float | None = None,
    ) -> None:
        self._database = database
        self._statements = statements(schema)
        self._registration = {
            "name": name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": None if queues is None else list(queues),
            "concurrency": concurrency,
            "lease_s": lease_s,
            "renew_interval_s": renew_interval_s,
        }
        self._lease_s = lease_s
        self._connection: psycopg.Connection[Any] | None = None
        self._holds_lock = False

    def register(self) -> int:
        """Register a worker and take its advisory lock. Returns its id."""
        with self._use() as connection:
            row = self._row(connection, "register_worker", **self._registration)
            assert row is not None
            worker_id, self._holds_lock = row
            return int(worker_id)

    def renew(self, worker_id: int) -> bool:
        """Extend the lease. False: the worker was taken for dead."""
        with self._use() as connection:
            if not self._holds_lock:  # a new session; the old one may linger on the server
                row = self._row(connection, "hold_worker_lock", worker_id=worker_id)
                self._holds_lock = row is not None and row[0]
            row = self._row(connection, "renew_lease", worker_id=worker_id, lease_s=self._lease_s)
            return row is not None

    def unregister(self, worker_id: int, *, leaves_jobs: bool) -> None:
        """Leave the list of workers or, with jobs left behind, end the lease so that they are rescued."""
        with self._use() as connection:
            if (
                leaves_jobs
                or self._row(connection, "unregister_worker", worker_id=worker_id) is None
            ):
                connection.execute(self._statements["expire_lease"], {"worker_id": worker_id})

    def close(self) -> None:
        """Close the connection, and with it the advisory lock."""
        connection, self._connection = self._connection, None
        self._holds_lock = False
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                connection.close()

    @contextmanager
    def _use(self) -> Iterator[psycopg.Connection[Any]]:
        try:
            if self._connection is None:
                self._connection = self._database.connect_blocking()
                with translated():
                    self._connection.execute(SETTINGS)
            with translated():
                yield self._connection
        except BaseException:
            self.close()
            raise

    def _row(
        self, connection: psycopg.Connection[Any], statement: str, /, **parameters: Any
    ) -> tuple[Any, ...] | None:
        return connection.execute(self._statements[statement], parameters).fetchone()
