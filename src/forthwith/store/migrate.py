"""Forward-only migrations: SQL files applied in order, each once, and never edited after that."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
import time
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql
from psycopg.rows import tuple_row

from forthwith.engine.backoff import Backoff
from forthwith.errors import (
    DatabaseUnavailable,
    MigrationChanged,
    SchemaMissing,
    SchemaTooNew,
    SchemaTooOld,
)
from forthwith.store import grants
from forthwith.store.statements import DEFAULT_SCHEMA, in_schema, statements

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import LiteralString

    import psycopg

logger = logging.getLogger(__name__)

LOCK_KEY = 7_060_841_130  # any number, the same for all
LOCK_TIMEOUT_S = 1.0
PATIENCE_S = 120.0

# Names in a migration are PostgreSQL's own and not the session's choice: what a default or an index is
# made with stays. And nobody's settings for his own statements shall end a migration.
_SETTINGS = "set local search_path = pg_catalog, pg_temp; set local statement_timeout = 0"

_TABLE = """
create table {}.migration (
    name text primary key,
    checksum text not null,
    applied_at timestamptz not null default clock_timestamp(),
    compatible_since text                      -- versions that know this migration can work with it
)
"""
_COMPATIBLE_SINCE = re.compile(r"^-- Compatible since: (\w+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `migrations/`."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def compatible_since(self) -> str | None:
        """The first migration whose versions can go on and start with this one applied, too.

        It is what the file's line `-- Compatible since: NAME` says; None without one: whoever does not
        know this migration must not work with it.
        """
        found = _COMPATIBLE_SINCE.search(self.text)
        return None if found is None else found[1]


@dataclass(frozen=True, slots=True)
class Applied:
    """What the database says of a migration that was applied to it."""

    checksum: str
    compatible_since: str | None


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all migrations of this version, in order."""
    folder = resources.files("forthwith.store") / "migrations"
    return tuple(
        Migration(file.name.removesuffix(".sql"), file.read_text("utf-8"))
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    )


def schema_sql() -> LiteralString:
    """Return the SQL that installs all of it in the schema `forthwith`, for psql."""
    parts = ["set search_path = pg_catalog, pg_temp;", "create schema forthwith;"]
    parts.append(_TABLE.format("forthwith").strip() + ";")
    for migration in migrations():
        since = "null" if migration.compatible_since is None else f"'{migration.compatible_since}'"
        parts.append(migration.text)
        parts.append(
            "insert into forthwith.migration (name, checksum, compatible_since)\n"
            f"values ('{migration.name}', '{migration.checksum}', {since});"
        )
    parts.append("select forthwith.keep_partitions(3, null);")
    text: Any = "\n\n".join(parts)
    literal: LiteralString = text
    return literal


async def migrate(
    connection: psycopg.AsyncConnection[Any],
    schema: str = DEFAULT_SCHEMA,
    *,
    patience_s: float = PATIENCE_S,
) -> list[str]:
    """Bring the schema up to date; return the names of the migrations that this applied.

    Safe to call at once from several processes: one migrates, the others wait and find nothing to
    do. All is one transaction, so a failure leaves the schema as it was. While workers work: a lock
    that it does not get at once it lets go again, so that nobody waits behind it for long, and tries
    anew for `patience_s` seconds.

    What it makes belongs to the role that made the schema's first table, whoever calls it. Raises
    `MigrationChanged`, `SchemaTooNew` and `DatabaseUnavailable`.
    """
    give_up_s, backoff = time.monotonic() + patience_s, Backoff(first_s=0.2, limit_s=5.0)
    while True:
        try:
            async with connection.transaction():
                return await _migrate(connection, schema)
        except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
            wait_s = backoff.next_s()
            if time.monotonic() + wait_s > give_up_s:
                raise DatabaseUnavailable(
                    f"The migration did not get the locks it needs within {patience_s:g} s, and "
                    "changed nothing: long transactions use the tables of the queue. See who in "
                    "pg_stat_activity, end them, and run it again"
                ) from error
            logger.warning(
                "A transaction holds what the migration must lock. Nothing is changed yet; trying "
                "again in %.1f s, so that workers can go on meanwhile",
                wait_s,
            )
            await asyncio.sleep(wait_s)


async def _migrate(connection: psycopg.AsyncConnection[Any], schema: str) -> list[str]:
    await connection.execute(_SETTINGS)
    await connection.execute("set local lock_timeout = 0")  # for those who migrate at the same time
    await connection.execute("select pg_advisory_xact_lock(%s)", [LOCK_KEY])
    await connection.execute(
        sql.SQL("set local lock_timeout = {}").format(sql.Literal(f"{LOCK_TIMEOUT_S}s"))
    )
    await _become_owner(connection, schema)
    await _make_place(connection, schema)
    pending = await _pending(connection, schema)
    if not pending:
        await _keep_partitions(connection, schema)
        return []
    granted = await grants.granted(connection, schema)
    for migration in pending:
        await connection.execute(in_schema(migration.text, schema).encode())
        await connection.execute(
            sql.SQL(
                "insert into {}.migration (name, checksum, compatible_since) values (%s, %s, %s)"
            ).format(sql.Identifier(schema)),
            [migration.name, migration.checksum, migration.compatible_since],
        )
    await grants.grant(connection, granted, schema)  # roles can do with what is new what they could
    await _keep_partitions(connection, schema)
    return [migration.name for migration in pending]


async def _keep_partitions(connection: psycopg.AsyncConnection[Any], schema: str) -> None:
    await connection.execute(
        statements(schema)["keep_partitions"], {"days_ahead": 3, "retention_s": None}
    )


async def _become_owner(connection: psycopg.AsyncConnection[Any], schema: str) -> None:
    """Act as the role that migrated first: a function with its owner's rights is made with those."""
    owner = await _value(
        connection,
        "select pg_get_userbyid(relowner)::text from pg_class"
        " where oid = to_regclass(%s) and relowner <> current_user::regrole",
        f'"{schema}".migration',
    )
    if owner is not None:
        await connection.execute(sql.SQL("set local role {}").format(sql.Identifier(owner)))


async def _make_place(connection: psycopg.AsyncConnection[Any], schema: str) -> None:
    # Not "if not exists": that takes the right to create even where there is nothing to do.
    name = sql.Identifier(schema)
    if await _value(connection, "select to_regnamespace(%s)::text", f'"{schema}"') is None:
        await connection.execute(sql.SQL("create schema {}").format(name))
    if await _value(connection, "select to_regclass(%s)::text", f'"{schema}".migration') is None:
        await connection.execute(sql.SQL(_TABLE).format(name))
    elif not await _has_column(connection, schema):
        await connection.execute(
            sql.SQL("alter table {}.migration add compatible_since text").format(name)
        )


async def _has_column(connection: psycopg.AsyncConnection[Any], schema: str) -> bool:
    return bool(
        await _value(
            connection,
            "select exists (select from pg_attribute where attrelid = to_regclass(%s)"
            " and attname = 'compatible_since')",
            f'"{schema}".migration',
        )
    )


async def check(connection: psycopg.AsyncConnection[Any], schema: str = DEFAULT_SCHEMA) -> None:
    """Raise `SchemaMissing`, `SchemaTooOld`, `SchemaTooNew` or `MigrationChanged` if it is not ours.

    A newer schema is accepted if each migration that this version does not know says that it can be
    worked with by it: during a rolling deploy, workers of the version before can start again.
    """
    found = "select pg_catalog.to_regclass(%s)::pg_catalog.text"
    if await _value(connection, found, f'"{schema}".migration') is None:
        raise SchemaMissing
    pending = await _pending(connection, schema)
    if pending:
        names = ", ".join(migration.name for migration in pending)
        raise SchemaTooOld(
            f"The database's schema lacks these migrations: {names}. Apply them: `forthwith migrate`"
        )


async def applied_migrations(
    connection: psycopg.AsyncConnection[Any], schema: str = DEFAULT_SCHEMA
) -> dict[str, Applied]:
    """Return what was applied to the database, by name."""
    # By way of JSON, for the first version's table has no column compatible_since.
    query = sql.SQL(
        "select name, checksum, pg_catalog.jsonb_extract_path_text("
        "pg_catalog.to_jsonb(migration), 'compatible_since') from {}.migration"
    ).format(sql.Identifier(schema))
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query)
        rows = await cursor.fetchall()
    return {name: Applied(checksum, since) for name, checksum, since in rows}


async def _pending(connection: psycopg.AsyncConnection[Any], schema: str) -> list[Migration]:
    applied = await applied_migrations(connection, schema)
    known = {migration.name: migration for migration in migrations()}
    pending = [migration for migration in known.values() if migration.name not in applied]
    if unknown := unusable(applied, list(known)):
        raise SchemaTooNew(
            f"The database's schema has migrations that this version does not know ({', '.join(unknown)}):"
            " upgrade forthwith here"
        )
    for name, migration in known.items():
        if name in applied and applied[name].checksum != migration.checksum:
            raise MigrationChanged(
                f"Migration {name} was applied with another content than this package's: migrations are "
                "never edited; reinstall forthwith, or restore the file"
            )
    return pending


def unusable(applied: Mapping[str, Applied], known: list[str]) -> list[str]:
    """Return those migrations that are not known here and with which this version must not work.

    Names are numbered, so that their order is the order of the migrations.
    """
    newest = max(known, default="")
    if any(name not in applied for name in known):  # not one version's future, but another history
        return sorted(applied.keys() - set(known))
    return sorted(
        name
        for name, migration in applied.items()
        if name not in known
        and (migration.compatible_since is None or migration.compatible_since > newest)
    )


async def _value(connection: psycopg.AsyncConnection[Any], query: str, *parameters: Any) -> Any:
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(query.encode(), parameters)
        row = await cursor.fetchone()
    return None if row is None else row[0]
