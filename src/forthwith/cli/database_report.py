"""What `status` and `migrate --check` tell about the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from forthwith.cli.database_name import without_password

if TYPE_CHECKING:
    from datetime import datetime

    from forthwith import App
    from forthwith.connector import Connector
    from forthwith.job import JobDetails


class DatabaseReport(NamedTuple):
    """The database behind an app; `time` is its clock, and `url` has no password."""

    url: str
    embedded: bool
    server_version: str
    schema_version: str
    migrations_pending: int
    time: datetime


def database_name(app: App) -> str:
    """Return the URL of the app's database without a password. Starts an embedded one."""
    return without_password(connector_of(app).database.conninfo())


async def report_database(app: App) -> DatabaseReport:
    """Ask a database whose schema fits for what it is. Raises `DatabaseUnavailable`."""
    from forthwith.store.migrate import migrations

    [(version, time, applied)] = await _rows(app, "server_facts")
    return DatabaseReport(
        url=database_name(app),
        embedded=connector_of(app).database.is_embedded,
        server_version=version.split()[0],
        schema_version=applied[-1],
        migrations_pending=len({migration.name for migration in migrations()} - set(applied)),
        time=time,
    )


async def oldest_waiting_job(app: App) -> JobDetails | None:
    """Return the job that was deferred first among those that are due, or None."""
    rows = await _rows(app, "oldest_waiting_job")
    return await app.job_manager.get_job_async(rows[0][0]) if rows else None


async def pending_migrations(app: App) -> list[str]:
    """Return the names of the migrations that the database lacks, in order.

    Raises `SchemaTooNew` and `MigrationChanged`.
    """
    from forthwith.errors import SchemaMissing, SchemaTooOld
    from forthwith.store.migrate import check, migrations

    connector, names = connector_of(app), [migration.name for migration in migrations()]
    async with await connector.database.connect() as connection:
        try:
            await check(connection, connector.schema)
        except SchemaMissing:
            return names
        except SchemaTooOld:
            [(_, _, applied)] = await _rows(app, "server_facts")
            return [name for name in names if name not in applied]
    return []


async def _rows(app: App, statement: str) -> list[tuple[Any, ...]]:
    return await connector_of(app).call(lambda session: session.queries.rows_of(statement))


def connector_of(app: App) -> Connector:
    """Return the app's connection to a PostgreSQL; raise CommandFailed where it has another kind."""
    from forthwith.cli.exit_code import ExitCode
    from forthwith.cli.failure import CommandFailed
    from forthwith.connector import Connector

    if isinstance(app.connector, Connector):
        return app.connector
    kind = type(app.connector).__name__
    raise CommandFailed(ExitCode.FAILED, f"the app has no database of forthwith's, but a {kind}")
