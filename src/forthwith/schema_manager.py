"""Procrastinate's SchemaManager on forthwith's migrations."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import procrastinate.schema

from forthwith.store import migrate

if TYPE_CHECKING:
    from typing import LiteralString

    from forthwith.connector import Connector, Session


class SchemaManager(procrastinate.schema.SchemaManager):
    """Applies the schema, as often as one likes: what is there already stays."""

    connector: Connector

    @staticmethod
    def get_schema() -> LiteralString:
        """Return the SQL of all migrations, for the schema `forthwith`."""
        text = "\n".join(migration.text for migration in migrate.migrations())
        return f"create schema if not exists forthwith;\n\n{text}"

    @staticmethod
    def get_migrations_path() -> str:
        """Return the directory that holds the migrations."""
        return str(resources.files("forthwith.store") / "migrations")

    def apply_schema(self) -> None:
        """Bring the schema up to date. Raises `SchemaTooNew`, `MigrationChanged`."""
        self.migrate()

    async def apply_schema_async(self) -> None:
        """As `apply_schema`, asynchronously."""
        await self.migrate_async()

    def migrate(self) -> list[str]:
        """Bring the schema up to date; return the names of the migrations applied now."""
        return self.connector.run(self._migrate)

    async def migrate_async(self) -> list[str]:
        """As `migrate`, asynchronously."""
        return await self.connector.call(self._migrate)

    async def check_async(self) -> None:
        """Raise `SchemaMissing`, `SchemaTooOld`, `SchemaTooNew` or `MigrationChanged` if it does not fit."""

        async def check(session: Session) -> None:
            async with session.pool.connection() as connection:
                await migrate.check(connection, self.connector.schema)

        await self.connector.call(check)

    async def _migrate(self, session: Session) -> list[str]:
        async with session.pool.connection() as connection:
            return await migrate.migrate(connection, self.connector.schema)
