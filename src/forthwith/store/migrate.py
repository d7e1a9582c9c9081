"""Forward-only migrations: SQL files applied in order, each once, and never edited after that."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from psycopg import sql

from forthwith.errors import MigrationChanged, SchemaMissing, SchemaTooNew, SchemaTooOld
from forthwith.store.statements import DEFAULT_SCHEMA, in_schema, statements

if TYPE_CHECKING:
    import psycopg

LOCK_KEY = 7_060_841_130  # any number, the same for all


@dataclass(frozen=True, slots=True)
class Migration:
    """One file of `migrations/`."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """The SHA-256 of the file, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@cache
def migrations() -> tuple[Migration, ...]:
    """Return all migrations of this version, in order."""
    folder = resources.files("forthwith.store") / "migrations"
    return tuple(
        Migration(file.name.removesuffix(".sql"), file.read_text("utf-8"))
        for file in sorted(folder.iterdir(), key=lambda file: file.name)
        if file.name.endswith(".sql")
    )


async def migrate(
    connection: psycopg.AsyncConnection[Any], schema: str = DEFAULT_SCHEMA
) -> list[str]:
    """Bring the schema up to date; return the names of the migrations that this applied.

    Safe to call at once from several processes: one migrates, the others wait and find nothing to
    do. All is one transaction, so a failure leaves the schema as it was. Raises `MigrationChanged`
    and `SchemaTooNew`.
    """
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", [LOCK_KEY])
        await connection.execute(
            sql.SQL("create schema if not exists {}").format(sql.Identifier(schema))
        )
        await connection.execute(
            sql.SQL(
                "create table if not exists {}.migration (name text primary key, checksum text not null,"
                " applied_at timestamptz not null default clock_timestamp())"
            ).format(sql.Identifier(schema))
        )
        pending = await _pending(connection, schema)
        for migration in pending:
            await connection.execute(in_schema(migration.text, schema).encode())
            await connection.execute(
                sql.SQL("insert into {}.migration (name, checksum) values (%s, %s)").format(
                    sql.Identifier(schema)
                ),
                [migration.name, migration.checksum],
            )
        await connection.execute(
            statements(schema)["keep_partitions"], {"days_ahead": 3, "retention_s": None}
        )
    return [migration.name for migration in pending]


async def check(connection: psycopg.AsyncConnection[Any], schema: str = DEFAULT_SCHEMA) -> None:
    """Raise `SchemaMissing`, `SchemaTooOld`, `SchemaTooNew` or `MigrationChanged` if it is not ours."""
    cursor = await connection.execute("select to_regclass(%s)", [f'"{schema}".migration'])
    row = await cursor.fetchone()
    if row is None or row[0] is None:
        raise SchemaMissing
    pending = await _pending(connection, schema)
    if pending:
        names = ", ".join(migration.name for migration in pending)
        raise SchemaTooOld(
            f"The database's schema lacks these migrations: {names}. Apply them: `forthwith migrate`"
        )


async def _pending(connection: psycopg.AsyncConnection[Any], schema: str) -> list[Migration]:
    cursor = await connection.execute(
        sql.SQL("select name, checksum from {}.migration").format(sql.Identifier(schema))
    )
    applied = dict(await cursor.fetchall())
    known = {migration.name: migration for migration in migrations()}
    if unknown := sorted(applied.keys() - known.keys()):
        raise SchemaTooNew(
            f"The database's schema has migrations that this version does not know ({', '.join(unknown)}):"
            " upgrade forthwith here"
        )
    for name, checksum in applied.items():
        if known[name].checksum != checksum:
            raise MigrationChanged(
                f"Migration {name} was applied with another content than this package's: migrations are "
                "never edited; reinstall forthwith, or restore the file"
            )
    return [migration for migration in migrations() if migration.name not in applied]
