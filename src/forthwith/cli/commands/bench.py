"""`forthwith bench`: measure throughput and latency, and say what holds them back."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import CommandFailed
from forthwith.cli.settings import current_settings

if TYPE_CHECKING:
    from forthwith.bench.laboratory import Result
    from forthwith.bench.settings import BenchSettings

ROUNDS, JOBS, SECONDS, CONCURRENCY, FILL, PICKUPS = 3, 50_000, 3.0, 100, 100_000, 100
PROCESSES_MAX = 4


@click.command()
@click.option(
    "--scenario",
    "scenarios",
    metavar="NAME,...",
    multiple=True,
    help="Measure these: names or numbers, or `all`; see --list-scenarios. By default those that "
    "take about a minute. Faults (S10) are what `forthwith verify` is for.",
)
@click.option("--list-scenarios", is_flag=True, help="Say what scenarios there are.")
@click.option("--quick", is_flag=True, help="One round of small sizes: a first look.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=ROUNDS,
    show_default=True,
    help="How often to measure each; scenarios alternate.",
)
@click.option(
    "--jobs",
    type=click.IntRange(10, 100_000_000),
    default=JOBS,
    show_default=True,
    help="How many jobs are in a full queue.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 3600),
    default=SECONDS,
    show_default=True,
    help="How long producers and workers work side by side.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    default=CONCURRENCY,
    show_default=True,
    help="Of each worker.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 256),
    help=f"The most worker processes at a time (the cores, at most {PROCESSES_MAX}).",
)
@click.option(
    "--fill",
    type=click.IntRange(10, 100_000_000),
    default=FILL,
    show_default=True,
    help="How many jobs lie about in full-tables (ten times as many finished ones), and wait in memory.",
)
@click.option(
    "--pickups",
    type=click.IntRange(1, 100_000),
    default=PICKUPS,
    show_default=True,
    help="How many single jobs an idle worker picks up.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
@click.option(
    "--plot",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw the result, too: a .png or .svg file (needs the extra forthwith[plot]).",
)
def command(
    *,
    scenarios: tuple[str, ...],
    list_scenarios: bool,
    quick: bool,
    as_json: bool,
    plot: Path | None,
    **sizes: Any,
) -> int:
    """Measure throughput and latency of forthwith here, and say what holds them back.

    Without --database it works on an embedded PostgreSQL of its own. With --database it works there
    in a schema of its own, which it removes afterwards, and touches no other; but it LOADS THE SERVER
    as much as it can. FORTHWITH_DATABASE_URL does not count.

    Every run is checked: it leaves with 8 if a job did not run exactly as often as it should.
    """
    if list_scenarios:
        return _list_scenarios()
    if plot is not None:
        _check_plot(plot)
    settings = _settings(scenarios, sizes, quick=quick)
    try:
        result = _run(settings, as_json=as_json)
    finally:
        shutil.rmtree(settings.home, ignore_errors=True)
    return _conclude(result, as_json=as_json, plot=plot)


def _list_scenarios() -> int:
    from forthwith.bench.scenarios import ALL

    for scenario in ALL.values():
        default = " (by default)" if scenario.is_default else ""
        click.echo(f"{scenario.number:<4} {scenario.name:<13} {scenario.meaning}{default}")
    click.echo("S10  faults        see `forthwith verify`")
    return ExitCode.OK


def _check_plot(path: Path) -> None:
    """Find out what is wrong before the measurement, not after it."""
    from forthwith.bench.plot import SUFFIXES, check_matplotlib
    from forthwith.errors import ForthwithError

    if path.suffix.lower() not in SUFFIXES:
        raise click.BadParameter(f"{path} must end in {' or '.join(SUFFIXES)}", param_hint="--plot")
    if not path.absolute().parent.is_dir():
        raise click.BadParameter(f"there is no directory {path.parent}", param_hint="--plot")
    try:
        check_matplotlib()
    except ForthwithError as error:
        raise CommandFailed(ExitCode.FAILED, str(error)) from None


def _settings(names: tuple[str, ...], sizes: dict[str, Any], *, quick: bool) -> BenchSettings:
    from forthwith.bench.resources import usable_cores
    from forthwith.bench.scenarios import chosen
    from forthwith.bench.settings import BenchSettings
    from forthwith.bench.settings import quick as quick_look
    from forthwith.database.embedded import default_home

    if current_settings().app is not None:
        raise click.UsageError("bench needs no --app: its workers run tasks of their own")
    sizes["processes"] = sizes["processes"] or min(PROCESSES_MAX, usable_cores())
    settings = BenchSettings(
        home=(default_home() / f"bench-{secrets.token_hex(4)}").resolve(),
        scenarios=chosen(name for given in names for name in given.split(",")),
        url=current_settings().database,
        **sizes,
    )
    return quick_look(settings) if quick else settings


def _run(settings: BenchSettings, *, as_json: bool) -> Result:
    from forthwith.bench.errors import BenchRefused, SchemaLeft
    from forthwith.bench.laboratory import measure
    from forthwith.cli.bench_display import BenchDisplay
    from forthwith.cli.interruption import run_until_interrupted

    settings.home.mkdir(parents=True)
    try:
        with BenchDisplay(settings, quiet=as_json) as display:
            return run_until_interrupted(measure(settings, display.show))
    except (BenchRefused, SchemaLeft) as error:
        raise CommandFailed(ExitCode.FAILED, str(error)) from error


def _conclude(result: Result, *, as_json: bool, plot: Path | None) -> int:
    from forthwith.bench.plot import draw
    from forthwith.cli.bench_report import print_report, report_document
    from forthwith.cli.output import print_json

    if as_json:
        print_json(report_document(result))
    else:
        print_report(result)
    if plot is not None:
        draw(result, plot)
        click.echo(f"The picture is {plot}", err=True)
    if result.problems:
        return ExitCode.JOBS_AMISS
    return ExitCode.FAILED if result.skipped else ExitCode.OK
