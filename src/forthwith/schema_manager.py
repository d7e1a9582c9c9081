"""Procrastinate's SchemaManager on forthwith's migrations."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import procrastinate.schema

from forthwith.store import grants, migrate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from forthwith.connector import Connector, Session


class SchemaManager(procrastinate.schema.SchemaManager):
    """Applies the schema, as often as one likes: what is there already stays."""

    connector: Connector

    @staticmethod
    def get_schema() -> LiteralString:
        """Return the SQL that installs all of it in the schema `forthwith`."""
        return migrate.schema_sql()

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

    def grant(self, *, defer: Sequence[str] = (), work: Sequence[str] = ()) -> None:
        """Let the roles in `defer` defer jobs and do nothing else, and those in `work` run workers.

        To be called as the schema's owner, as often as one likes; migrations keep it up. Raises
        `InvalidArgument` for a role that does not exist, and `NotPermitted`.
        """
        self.connector.run(lambda session: self._grant(session, list(grants.told(defer, work))))

    async def grant_async(self, *, defer: Sequence[str] = (), work: Sequence[str] = ()) -> None:
        """As `grant`, asynchronously."""
        await self.connector.call(
            lambda session: self._grant(session, list(grants.told(defer, work)))
        )

    def grant_sql(self, *, defer: Sequence[str] = (), work: Sequence[str] = ()) -> str:
        """Return the SQL that `grant` runs."""
        lines = [
            statement
            for right, role in grants.told(defer, work)
            for statement in grants.grant_statements(right, role, self.connector.schema)
        ]
        return "\n".join(lines)

    async def check_async(self) -> None:
        """Raise `SchemaMissing`, `SchemaTooOld`, `SchemaTooNew` or `MigrationChanged` if it does not fit.

        A newer schema fits if its migrations say that this version can work with them.
        """

        async def check(session: Session) -> None:
            async with session.pool.connection() as connection:
                await migrate.check(connection, self.connector.schema)

        await self.connector.call(check)

    async def _grant(self, session: Session, rights: Sequence[tuple[grants.Right, str]]) -> None:
        async with session.pool.connection() as connection:
            await grants.grant(connection, rights, self.connector.schema)

    async def _migrate(self, session: Session) -> list[str]:
        async with session.pool.connection() as connection:
            return await migrate.migrate(connection, self.connector.schema)
