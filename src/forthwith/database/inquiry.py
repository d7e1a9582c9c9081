"""Asks, on a second connection, whether the server is still at a statement that we wait for."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from forthwith.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from datetime import datetime

    from forthwith.database.database import Database

INQUIRY_LIMIT_S = 5.0
IDLE_S = 5.0
WHO = "select pg_catalog.pg_backend_pid(), pg_catalog.pg_postmaster_start_time()"
WHAT = """
    select pg_postmaster_start_time(),
        exists (
            select from pg_stat_activity
            where pid = %s
            and (wait_event is distinct from 'ClientRead'
                 or state_change > clock_timestamp() - make_interval(secs => %s)))
"""


@dataclass(frozen=True, slots=True)
class Backend:
    """The server's process at the other end of a connection."""

    pid: int
    server_started_at: datetime
    is_behind_pooler: bool

    async def is_at_work(self, database: Database) -> bool:
        """Whether it may still answer. Only what is certain counts as no: it does nothing, it is gone,
        or nobody answers at that address.
        """
        try:
            connection = await database.connect(answer_limit_s=INQUIRY_LIMIT_S)
        except DatabaseUnavailable as error:
            return "FATAL" in str(error)  # the server's own word, such as too many clients
        if self.is_behind_pooler:  # whose servers may all be busy with what we ask about
            await connection.close()
            return True
        try:
            await connection.execute(
                "set search_path = pg_catalog, pg_temp"
            )  # nobody's look-alikes
            cursor = await connection.execute(WHAT, [self.pid, IDLE_S])
            row = await cursor.fetchone()
        except psycopg.OperationalError:
            return False
        finally:
            with suppress(psycopg.Error):
                await connection.close()
        assert row is not None
        server_started_at, is_busy = row
        return bool(is_busy) or server_started_at != self.server_started_at


async def backend_of(connection: psycopg.AsyncConnection[Any]) -> Backend:
    """Find out who is at the other end of a connection."""
    row = await (await connection.execute(WHO)).fetchone()
    assert row is not None
    pid, server_started_at = row
    return Backend(pid, server_started_at, pid != connection.info.backend_pid)
