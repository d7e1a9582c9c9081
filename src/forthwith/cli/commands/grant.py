"""`forthwith grant`: let a database role defer jobs, or work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from forthwith.cli.exit_code import ExitCode
from forthwith.cli.output import print_json
from forthwith.cli.session import any_app, in_open_app

if TYPE_CHECKING:
    from forthwith import App


@click.command()
@click.option("--defer", multiple=True, metavar="ROLE", help="Let it defer jobs, and nothing else.")
@click.option("--work", multiple=True, metavar="ROLE", help="Let it run workers, and manage jobs.")
@click.option("--print", "as_sql", is_flag=True, help="Write the SQL instead.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(
    *, defer: tuple[str, ...], work: tuple[str, ...], as_sql: bool, as_json: bool
) -> ExitCode:
    """Grant roles what they need, as the owner of the schema; doing it again changes nothing."""
    if not (defer or work):
        raise click.UsageError("name a role: --defer ROLE or --work ROLE")
    if as_sql and as_json:
        raise click.UsageError("--print excludes --json")
    if as_sql:
        click.echo(any_app().schema_manager.grant_sql(defer=defer, work=work))
        return ExitCode.OK

    async def grant(app: App) -> None:
        await app.schema_manager.grant_async(defer=defer, work=work)

    in_open_app(any_app(), grant)
    if as_json:
        print_json({"defer": list(defer), "work": list(work)})
    else:
        for name, roles in (("defer jobs", defer), ("work", work)):
            for role in roles:
                click.echo(f"{role} may {name}")
    return ExitCode.OK
