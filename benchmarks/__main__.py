"""`python -m benchmarks`: compare forthwith with other job queues, on this machine, now."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import child, conditions, environment, goals, table
from benchmarks.backends import Backends
from benchmarks.errors import RunError, SetUpError
from benchmarks.results import PeerResult, Result, Run, fresh_file
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.commands import SHORT_TIMEOUT_S
from benchmarks.scenarios.contender import Contender
from benchmarks.scenarios.plan import Plan
from benchmarks.server import open_server

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results"
console = Console()
if not console.is_terminal:
    console.width = 120


@click.command()
@click.option(
    "--quick", is_flag=True, help="One round of burn_down and pickup, cut: about two minutes."
)
@click.option("--all", "every", is_flag=True, help="All scenarios: about 40 minutes.")
@click.option("--full", is_flag=True, help="All scenarios, more rounds and the long forms: hours.")
@click.option("--rounds", type=click.IntRange(1), help="Rounds of every scenario.")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(environment.peer_names()),
    help="Only this peer; may be given several times.",
)
@click.option(
    "--scenario",
    multiple=True,
    type=click.Choice(list(SCENARIOS)),
    help="Only this scenario; may be given several times.",
)
@click.option("--concurrency", type=click.IntRange(1), default=100, show_default=True)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Jobs deferred in one call.",
)
@click.option(
    "--database",
    metavar="URL",
    help="A server of yours (may create databases) instead of the embedded PostgreSQL.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where the raw result goes.  [default: benchmarks/results/<date>-<commit>.json, or the next -2, -3]",
)
def main(
    quick: bool,
    every: bool,
    full: bool,
    rounds: int | None,
    only: tuple[str, ...],
    scenario: tuple[str, ...],
    concurrency: int,
    batch_size: int,
    database: str | None,
    output: Path | None,
) -> None:
    """Compare forthwith with other job queues: throughput, pick-up latency, memory.

    Rounds alternate between the peers, each run has a database of its own, and afterwards the
    database is asked whether every job ran exactly once. The exit code is 1 if a run of forthwith's
    failed, lost a job or doubled one; what befell a peer is told.
    """
    if quick + every + full > 1:
        raise click.UsageError("--quick, --all and --full exclude each other")
    if every:
        scenario = scenario or tuple(SCENARIOS)
    plan = Plan("quick" if quick else "full" if full else "default", concurrency, batch_size)
    rounds_of = _rounds(plan.mode, scenario, rounds)
    peers = [name for name in environment.peer_names() if not only or name in only]
    with (
        _leaving_by_signal(),
        open_server(database) as server,
        contextlib.ExitStack() as closing,
    ):
        result, path = asyncio.run(
            _measure(Backends(server, closing), plan, peers, rounds_of, output)
        )
    result.save(path)
    _show(result, path)
    if result.problems("forthwith") or not result.runs:
        sys.exit(1)


def _rounds(mode: str, chosen: tuple[str, ...], rounds: int | None) -> dict[str, int]:
    """How many rounds of which scenarios; what is asked for by name takes part in every mode."""
    names = [
        name
        for name, found in SCENARIOS.items()
        if name in chosen or (not chosen and found.takes_part(mode))
    ]
    return {name: rounds or SCENARIOS[name].rounds_of(mode) for name in names}


async def _measure(
    backends: Backends,
    plan: Plan,
    peers: list[str],
    rounds_of: dict[str, int],
    output: Path | None,
) -> tuple[Result, Path]:
    """Run everything; the raw result is saved after each scenario, so that a stop loses little."""
    rounds = max(rounds_of.values())
    read = conditions.read(backends.server, plan.concurrency, plan.batch_size, rounds)
    read["mode"] = plan.mode
    result = Result(read, [], [])
    path = output or fresh_file(RESULTS, read["commit"])
    _show_conditions(read)
    contenders = [found for name in peers if (found := await _contender(name, backends, result))]
    for scenario, times in rounds_of.items():
        for number in range(1, times + 1):
            for contender in contenders:
                result.runs.extend(await _run(plan, scenario, contender, number))
        result.save(path)
    result.conditions["load_average_after"] = conditions.load_average()
    return result, path


async def _contender(name: str, backends: Backends, result: Result) -> Contender | None:
    """Set a peer up, or list why it cannot be."""
    try:
        with console.status(f"Setting up {name}"):
            command = await asyncio.to_thread(environment.command, name)
            async with child.start(command, name, "describe") as process:
                described = await process.expect("described", SHORT_TIMEOUT_S)
            contender = Contender(name, command, described, backends)
            result.conditions.update(await asyncio.to_thread(backends.open, contender.backend))
    except Exception as error:
        reason = _words(error)
        console.print(f"{name} cannot be set up: {reason}", style="yellow", markup=False)
        result.peers.append(PeerResult(name, name, unavailable=reason))
        return None
    title, version, settings = described["name"], described["version"], described["settings"]
    result.peers.append(PeerResult(name, title, version, settings))
    console.print(f"{title} {version}: {_joined(settings)}", highlight=False)
    return contender


async def _run(plan: Plan, scenario: str, contender: Contender, number: int) -> list[Run]:
    """A round of one peer. Whatever goes wrong in it is told, and never ends the whole."""
    chosen = SCENARIOS[scenario]
    if reason := chosen.missing(contender):
        return [Run(scenario, "", contender.peer, number, 0, not_offered=reason)]
    label = f"{scenario}, round {number}, {contender.peer}"
    began_s = time.monotonic()
    try:
        with console.status(label), contender.fresh() as database:
            found = await chosen.run(contender, plan, database, number)
    except Exception as error:
        found = Run(scenario, "", contender.peer, number, 0, problems=[_words(error)])
    runs = found if isinstance(found, list) else [found]
    for run in runs:
        _show_run(label, run)
    console.print(f"  {time.monotonic() - began_s:.1f} s", style="dim", highlight=False)
    return runs


def _show_run(label: str, run: Run) -> None:
    label = f"{label} {run.variant}".strip()
    shown = {name: f"{value:,.1f}" for name, value in run.values.items()}
    console.print(f"{label}: {run.not_offered or _joined(shown)}", highlight=False)
    for problem in run.problems:
        console.print(f"{label}: {problem}", style="red", markup=False, highlight=False)


def _words(error: Exception) -> str:
    """An error of ours says all; any other is named too."""
    known = isinstance(error, SetUpError | RunError)
    return str(error) if known else f"{type(error).__name__}: {error}"


def _show_conditions(read: dict[str, str]) -> None:
    console.print(_joined(read), style="dim", highlight=False)


def _show(result: Result, path: Path) -> None:
    for found in table.tables(result):
        shown = RichTable(title=found.title, title_justify="left")
        for index, heading in enumerate(found.headings):
            shown.add_column(heading, justify="right" if index else "left", no_wrap=True)
        for row in found.rows:
            shown.add_row(*(cell.replace(" (", "\n(") for cell in row))
        console.print(shown)
    console.print(
        "Median of the rounds (lowest to highest). Every job was checked in the database."
    )
    for goal in goals.told(result):
        console.print(goal.replace("**", ""), highlight=False)
    for note in table.notes(result):
        console.print(note, style="red", markup=False, highlight=False)
    console.print(f"Raw result: {path}", highlight=False, soft_wrap=True)


def _joined(values: dict[str, str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


@contextlib.contextmanager
def _leaving_by_signal() -> Iterator[None]:
    """Make SIGTERM leave as Ctrl-C does, through every block that stops or drops something."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        console.print("Stopped; nothing is left running.")
        sys.exit(130)
    finally:
        signal.signal(signal.SIGTERM, before)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
