"""Where the lab works: an embedded server of its own, or a schema of its own on the user's database."""

from __future__ import annotations

import asyncio
import secrets
import shutil
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

import forthwith
from forthwith.bench.errors import BenchRefused, SchemaLeft
from forthwith.database.database import Database
from forthwith.database.embedded import open_embedded
from forthwith.database.failures import translated
from forthwith.store.statements import in_schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SCHEMA_PREFIX = "forthwith_bench_"
DROP_ATTEMPTS = 3
LINGER_S = 0.1
DROP_WAIT_MS = 3000
PAUSE_S = 0.2
_TABLES = (
    "job",
    "finished_job",
    "failed_attempt",
    "worker",
    "queueing_lock",
    "periodic_defer",
    "queue_pause",
    "result",
    "progress",
    "tally",
    "job_trace",
    "periodic_task",
)


@dataclass(frozen=True, slots=True)
class Place:
    """A database that answers, and the lab's schema in it, migrated. Made by `open_place`."""

    url: str
    """Direct, with the application name of the lab."""
    schema: str
    is_embedded: bool
    leftovers: tuple[str, ...] = ()
    """Schemas that earlier runs have left, or that others use now."""

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """Open a connection in autocommit mode."""
        return await psycopg.AsyncConnection.connect(self.url, autocommit=True)

    def statement(self, text: LiteralString) -> bytes:
        """Return SQL that was written for the schema `forthwith` as SQL for the lab's."""
        return in_schema(text, self.schema).encode()

    async def empty(self) -> None:
        """Empty the tables, as if they were new, and let the server settle."""
        tables = sql.SQL(", ").join(sql.Identifier(self.schema, name) for name in _TABLES)
        async with await self.connect() as connection:
            await connection.execute(sql.SQL("truncate {} restart identity").format(tables))

    async def settle(self) -> None:
        """Bring statistics up to date; on a server of our own, write a checkpoint, too."""
        async with await self.connect() as connection:
            for name in ("job", "finished_job"):
                await connection.execute(
                    sql.SQL("analyze {}").format(sql.Identifier(self.schema, name))
                )
            if self.is_embedded:
                await connection.execute("checkpoint")


@asynccontextmanager
async def open_place(url: str | None, home: Path) -> AsyncIterator[Place]:
    """Open the place; in the end everything that the lab has put there is gone, whatever happened.

    Without a `url` it is a server of the lab's own in `home`. Raises `BenchRefused`,
    `DatabaseUnavailable`, `EmbeddedUnavailable`, and in the end `SchemaLeft`.
    """
    token = secrets.token_hex(4)
    if url is not None:
        async with _on_users_database(Database(url).conninfo(), token) as place:
            yield place
        return
    # Here and below not in a thread: whoever interrupts us must not come between a server and its end.
    server = open_embedded(home / "server", linger_s=LINGER_S)
    try:
        place = Place(_named(server.url, token), f"{SCHEMA_PREFIX}{token}", is_embedded=True)
        await _migrate(place)
        yield place
    finally:
        server.remove()
        shutil.rmtree(home / "server", ignore_errors=True)


@asynccontextmanager
async def _on_users_database(url: str, token: str) -> AsyncIterator[Place]:
    leftovers = await _check(url)
    place = Place(
        _named(url, token), f"{SCHEMA_PREFIX}{token}", is_embedded=False, leftovers=leftovers
    )
    try:
        await _migrate(place)
        yield place
    finally:
        await _drop(place)


def _named(url: str, token: str) -> str:
    return make_conninfo(url, application_name=f"{SCHEMA_PREFIX}{token}")


async def _migrate(place: Place) -> None:
    app = forthwith.App(place.url, schema=place.schema)
    async with app.open_async():
        await app.migrate_async()


async def _check(url: str) -> tuple[str, ...]:
    """Refuse a database that the lab cannot use; return the schemas of other runs."""
    with translated():
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            cursor = await connection.execute(
                """
                select pg_backend_pid(), pg_is_in_recovery(),
                    current_setting('default_transaction_read_only')::bool,
                    has_database_privilege(current_database(), 'create'),
                    current_user::text, current_database()::text,
                    array(select nspname::text from pg_namespace
                        where starts_with(nspname, %s) order by nspname)
                """,
                [SCHEMA_PREFIX],
            )
            [
                (pid, standby, read_only, may_create, user, database, schemas)
            ] = await cursor.fetchall()
            problem = refusal(
                pooled=pid != connection.info.backend_pid,
                standby=standby,
                read_only=read_only,
                may_create=may_create,
                user=user,
                database=database,
            )
    if problem is not None:
        raise BenchRefused(problem)
    return tuple(schemas)


def refusal(
    *, pooled: bool, standby: bool, read_only: bool, may_create: bool, user: str, database: str
) -> str | None:
    """Say why the lab will not work on a database, and what would help; None: it will."""
    if pooled:
        return (
            "there is a pooler between here and the server (the session's process is not the one that "
            "was announced), and its pace would be measured too; give the server's own URL"
        )
    if standby:
        return "the server is a standby and takes no writes; give the primary's URL"
    if read_only:
        return (
            "sessions of this role are read-only (default_transaction_read_only); use another role"
        )
    if not may_create:
        return (
            f"role {user!r} may not create a schema in database {database!r}; as its owner run: "
            f"{_grant(user, database)}"
        )
    return None


def _grant(user: str, database: str) -> str:
    names = sql.Identifier(database).as_string(), sql.Identifier(user).as_string()
    return "grant create on database {} to {}".format(*names)


async def _drop(place: Place) -> None:
    """Drop the schema. What still uses it is disconnected first: its processes are dead by now."""
    error: BaseException | None = None
    for _ in range(DROP_ATTEMPTS):
        try:
            await _drop_once(place)
        except (psycopg.Error, OSError) as failure:
            error = failure
            await asyncio.sleep(PAUSE_S)
        else:
            return
    raise SchemaLeft(
        f"the schema {place.schema} could not be dropped ({_first_line(error)}); do it by hand: "
        f"{drop_command(place.schema)}"
    )


def drop_command(schema: str) -> str:
    """Return the SQL that removes a schema of the lab's."""
    return f"drop schema {sql.Identifier(schema).as_string()} cascade"


async def _drop_once(place: Place) -> None:
    drop = sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(place.schema))
    async with await place.connect() as connection:
        with suppress(psycopg.Error):
            await connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where application_name = %s and pid <> pg_backend_pid()"
                " and datname = current_database()",
                [f"{place.schema}"],
            )
        await connection.execute(
            "select set_config('lock_timeout', %s, false)", [f"{DROP_WAIT_MS}ms"]
        )
        await connection.execute("set statement_timeout = 0")
        await connection.execute(drop)


def _first_line(error: BaseException | None) -> str:
    return str(error).strip().split("\n", 1)[0]
