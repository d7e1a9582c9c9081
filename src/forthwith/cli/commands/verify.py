"""`forthwith verify`: put a database under load and faults, and check the history."""

from __future__ import annotations

import asyncio
import logging
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forthwith.cli.exit_code import ExitCode
from forthwith.cli.settings import current_settings

if TYPE_CHECKING:
    from forthwith.verify.campaign import CampaignSettings, Result

MINUTES = 2.0
WORKERS = 3


@click.command()
@click.option(
    "--minutes",
    type=click.FloatRange(min=0.1),
    default=MINUTES,
    show_default=True,
    help="How long to work and inject faults.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help="Draw work and faults from this seed (a random one, which is printed).",
)
@click.option(
    "--faults",
    metavar="KIND,...",
    default="",
    help="Only these kinds of faults (all that can be done there; see --list-faults).",
)
@click.option(
    "--workers",
    type=click.IntRange(min=2),
    default=WORKERS,
    show_default=True,
    help="How many worker processes.",
)
@click.option("--list-faults", is_flag=True, help="Say what kinds of faults there are.")
@click.option("--keep", is_flag=True, help="Keep the history and the logs even if all holds.")
@click.option(
    "--history",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check this saved history again, and do nothing else.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(
    *,
    minutes: float,
    seed: int | None,
    faults: str,
    workers: int,
    list_faults: bool,
    keep: bool,
    history: Path | None,
    as_json: bool,
) -> int:
    """Put a queue under load and faults, and check from its recorded history that it loses nothing.

    Without --database it works on an embedded PostgreSQL of its own, which is stopped, crashed and
    restarted, too. With --database it works there in a schema of its own, which it removes
    afterwards, and harms nothing but its own worker processes and their connections.

    It leaves with 0 only if every invariant holds and faults of every kind have struck.
    """
    if list_faults:
        return _list_faults()
    if history is not None:
        return _check_again(history)
    settings = _settings(minutes, seed, faults, workers)
    result = _run(settings, as_json=as_json)
    return _conclude(result, keep=keep, as_json=as_json)


def _list_faults() -> int:
    from forthwith.verify.plan import MEANINGS, SERVER_FAULTS

    for kind, meaning in MEANINGS.items():
        where = " (not with --database)" if kind in SERVER_FAULTS else ""
        click.echo(f"{kind:<10} {meaning}{where}")
    return ExitCode.OK


def _check_again(path: Path) -> int:
    from forthwith.verify.checkers import check
    from forthwith.verify.history import load

    try:
        verdict = check(load(path))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--history") from None
    click.echo(verdict.text())
    return ExitCode.OK if verdict.ok else ExitCode.FAILED


def _settings(minutes: float, seed: int | None, faults: str, workers: int) -> CampaignSettings:
    from forthwith.database.embedded import default_home
    from forthwith.verify.campaign import CampaignSettings, draw_seed
    from forthwith.verify.plan import check_kinds

    url = current_settings().database
    if current_settings().app is not None:
        raise click.UsageError("verify needs no --app: its workers run tasks of their own")
    names = [name.strip() for name in faults.split(",") if name.strip()]
    kinds = check_kinds(names, own_server=url is None)
    seed = draw_seed() if seed is None else seed
    home = _new_directory(default_home() / "verify", seed)
    return CampaignSettings(seed, minutes * 60, kinds, home, url, workers)


def _new_directory(parent: Path, seed: int) -> Path:
    number = 1
    while (home := parent / f"seed-{seed}-{number}").exists():
        number += 1
    home.mkdir(parents=True)
    return home.resolve()


def _run(settings: CampaignSettings, *, as_json: bool) -> Result:
    from forthwith.cli.campaign_display import CampaignDisplay
    from forthwith.verify.campaign import run_campaign

    # What the producers' connections go through is no news here.
    logging.basicConfig(filename=settings.home / "lab.log", level=logging.INFO)
    with CampaignDisplay(settings, quiet=as_json) as display:
        try:
            return asyncio.run(run_campaign(settings, display.show))
        except BaseException:
            click.echo(f"Logs are in {settings.home}", err=True)
            raise


def _conclude(result: Result, *, keep: bool, as_json: bool) -> int:
    from forthwith.cli.campaign_report import print_report, report_document
    from forthwith.cli.output import print_json

    settings = result.settings
    keep = keep or not result.ok
    if as_json:
        print_json(report_document(result, kept=keep))
    else:
        print_report(result)
        if keep:
            click.echo(f"History and logs: {settings.home}")
            click.echo(f"Check it again:   forthwith verify --history {_history(settings)}")
        if not result.ok:
            click.echo(f"Run it again:     {replay_command(settings)}")
    if not keep:
        shutil.rmtree(settings.home, ignore_errors=True)
    return ExitCode.OK if result.ok else ExitCode.FAILED


def replay_command(settings: CampaignSettings) -> str:
    """Return the command that draws the same work and the same faults."""
    from forthwith.cli.database_name import without_password

    database = [] if settings.url is None else ["--database", without_password(settings.url)]
    arguments = ["forthwith", *database, "verify", "--seed", str(settings.seed)]
    arguments += ["--minutes", f"{settings.duration_s / 60:g}", "--workers", str(settings.workers)]
    arguments += ["--faults", ",".join(settings.kinds)]
    return shlex.join(arguments)


def _history(settings: CampaignSettings) -> str:
    return shlex.quote(str(settings.home / "history.json"))
