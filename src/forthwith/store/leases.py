"""The lease keeper's statements, on a connection of its own."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from forthwith.database.line import Line
from forthwith.store.own_session import OWN_SESSION
from forthwith.store.statements import DEFAULT_SCHEMA, channel_of, statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from forthwith.database.database import Database

ANSWER_LIMIT_S = 5.0


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
        tasks: Sequence[str] | None = None,
    ) -> None:
        # An answer must come well before the lease ends, or else there is time for another connection.
        answer_limit_s = min(lease_s / 3, ANSWER_LIMIT_S)
        self._line = Line(
            database,
            settings=f"{OWN_SESSION} set statement_timeout = '{int(answer_limit_s * 1000)}ms'",
            answer_limit_s=answer_limit_s,
            connect_limit_s=lease_s / 2,
        )
        self._statements = statements(schema)
        self._channel = channel_of(schema)
        self._registration = {
            "name": name,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "queues": None if queues is None else list(queues),
            "concurrency": concurrency,
            "tasks": None if tasks is None else list(tasks),
            "lease_s": lease_s,
            "renew_interval_s": renew_interval_s,
        }
        self._lease_s = lease_s
        self._renew_interval_s = self._said_interval_s = renew_interval_s
        # Of the session that holds the lock.
        self._locked_by: psycopg.AsyncConnection[Any] | None = None

    @property
    def holds_lock(self) -> bool:
        """Whether the session holds the advisory lock, as far as is known here."""
        return self._locked_by is not None and not self._locked_by.closed

    @property
    def reconnects(self) -> int:
        """How often the connection was made anew."""
        return self._line.reconnects

    async def register(self) -> int:
        """Register a worker and take its advisory lock. Returns its id."""
        async with self._line.use() as connection:
            row = await self._row(connection, "register_worker", **self._registration)
            assert row is not None
            worker_id, locked = row
            self._locked_by = connection if locked else None
            self._said_interval_s = self._renew_interval_s
            await self._row(connection, "tell_watchers", channel=self._channel)
            return int(worker_id)

    async def renew(
        self, worker_id: int, interval_s: float | None = None, running: int | None = None
    ) -> bool:
        """Extend the lease, and say when the next renewal comes, and how many jobs run. False: the worker
        was taken for dead.

        Who renews more often than he has said before may claim jobs, and tells the others to watch.
        """
        async with self._line.use() as connection:
            if self._locked_by is not connection:  # a new session; the old one may linger
                row = await self._row(connection, "hold_worker_lock", worker_id=worker_id)
                self._locked_by = connection if row is not None and row[0] else None
            row = await self._row(
                connection,
                "renew_lease",
                worker_id=worker_id,
                lease_s=self._lease_s,
                renew_interval_s=interval_s,
                running=running,
            )
            if interval_s is not None and row is not None:
                said_s, self._said_interval_s = self._said_interval_s, interval_s
                if said_s is not None and interval_s < said_s:
                    await self._row(connection, "tell_watchers", channel=self._channel)
            return row is not None

    async def unregister(self, worker_id: int, *, leaves_jobs: bool) -> None:
        """Leave the list of workers. With `leaves_jobs`, what it holds is given back before.

        If it still holds jobs then, the lease is ended, so that they are rescued.
        """
        async with self._line.use() as connection:
            if leaves_jobs:
                # In this order: once the lease has ended, no claim of ours that is on its way counts.
                await connection.execute(self._statements["expire_lease"], {"worker_id": worker_id})
                await self._row(connection, "give_back", worker_id=worker_id)
            if await self._row(connection, "unregister_worker", worker_id=worker_id) is None:
                await connection.execute(self._statements["expire_lease"], {"worker_id": worker_id})

    async def disturbed(self) -> None:
        """Wait until something befalls the session: most likely it is lost. Renew, then."""
        await self._line.disturbed()

    async def close(self) -> None:
        """Close the connection, and with it the advisory lock."""
        await self._line.close()

    async def _row(
        self, connection: psycopg.AsyncConnection[Any], statement: str, /, **parameters: Any
    ) -> tuple[Any, ...] | None:
        return await (await connection.execute(self._statements[statement], parameters)).fetchone()
