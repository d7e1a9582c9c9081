"""`forthwith migrate`: bring the database's schema up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from forthwith.cli.database_report import pending_migrations
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.output import print_json
from forthwith.cli.session import any_app, in_open_app

if TYPE_CHECKING:
    from forthwith import App


@click.command()
@click.option("--check", is_flag=True, help="Apply nothing; exit with 5 if there is what to apply.")
@click.option("--sql", is_flag=True, help="Write the SQL of the whole schema instead.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(*, check: bool, sql: bool, as_json: bool) -> int:
    """Bring the database's schema up to date; doing it again changes nothing."""
    if sum((check, sql, as_json and sql)) > 1:
        raise click.UsageError("--sql excludes --check and --json")
    if sql:
        return _write_sql()
    return _check(as_json=as_json) if check else _apply(as_json=as_json)


def _write_sql() -> int:
    click.echo(any_app().schema_manager.get_schema())
    return ExitCode.OK


def _apply(*, as_json: bool) -> int:
    async def migrate(app: App) -> list[str]:
        return await app.migrate_async()

    applied = in_open_app(any_app(), migrate, any_schema=True)
    if as_json:
        print_json({"applied": applied})
    else:
        for name in applied:
            click.echo(f"applied {name}")
        click.echo("The schema is up to date.")
    return ExitCode.OK


def _check(*, as_json: bool) -> int:
    pending = in_open_app(any_app(), pending_migrations, any_schema=True)
    if as_json:
        print_json({"pending": pending})
    else:
        for name in pending:
            click.echo(f"pending {name}")
        click.echo("Run `forthwith migrate`." if pending else "The schema is up to date.")
    return ExitCode.SCHEMA_MISMATCH if pending else ExitCode.OK
