"""`python -m benchmarks`: compare forthwith with other job queues, on this machine, now."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table as RichTable

from benchmarks import child, conditions, environment, table
from benchmarks.errors import RunError, SetUpError
from benchmarks.results import PeerResult, Result, Run
from benchmarks.scenarios import SCENARIOS, SHORT_TIMEOUT_S, Contender, Plan
from benchmarks.server import Server, open_server

if TYPE_CHECKING:
    from collections.abc import Iterator

RESULTS = Path(__file__).parent / "results"
ROUNDS = {"burn_down": 5, "pickup": 2, "memory": 1}
ROUNDS_QUICK = {"burn_down": 2, "pickup": 1, "memory": 1}
console = Console()
if not console.is_terminal:
    console.width = 120


@click.command()
@click.option("--quick", is_flag=True, help="Fewer rounds, fewer jobs: one or two minutes.")
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
    help="Where the raw result goes.  [default: benchmarks/results/<date>-<commit>.json]",
)
def main(
    quick: bool,
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
    database is asked whether every job ran exactly once. The exit code is 1 if a run failed, lost
    a job or doubled one.
    """
    plan = Plan(quick, concurrency, batch_size, pickups=100 if quick else 200)
    rounds_of = {
        name: rounds or (ROUNDS_QUICK if quick else ROUNDS)[name]
        for name in (scenario or SCENARIOS)
    }
    peers = [name for name in environment.peer_names() if not only or name in only]
    with _leaving_by_signal(), open_server(database) as server:
        result = asyncio.run(_measure(server, plan, peers, rounds_of))
    path = output or RESULTS / _file_name(result)
    result.save(path)
    _show(result, path)
    if result.problems() or not result.runs:
        sys.exit(1)


async def _measure(
    server: Server, plan: Plan, peers: list[str], rounds_of: dict[str, int]
) -> Result:
    read = conditions.read(server, plan.concurrency, plan.batch_size, max(rounds_of.values()))
    read["mode"] = "quick" if plan.quick else "default"
    result = Result(read, [], [])
    _show_conditions(read)
    contenders = [found for name in peers if (found := await _contender(name, result))]
    for scenario, rounds in rounds_of.items():
        for number in range(1, rounds + 1):
            for contender in contenders:
                result.runs.append(await _run(server, plan, scenario, contender, number))
    result.conditions["load_average_after"] = conditions.load_average()
    return result


async def _contender(name: str, result: Result) -> Contender | None:
    """Set a peer up, or list why it cannot be."""
    try:
        with console.status(f"Setting up {name}"):
            python = await asyncio.to_thread(environment.interpreter, name)
            async with child.start(python, name, "describe") as process:
                described = await process.expect("described", SHORT_TIMEOUT_S)
    except (SetUpError, RunError) as error:
        console.print(f"{name} cannot be set up: {error}", style="yellow", markup=False)
        result.peers.append(PeerResult(name, name, unavailable=str(error)))
        return None
    title, version, settings = described["name"], described["version"], described["settings"]
    result.peers.append(PeerResult(name, title, version, settings))
    console.print(f"{title} {version}: {_joined(settings)}", highlight=False)
    return Contender(name, python, described)


async def _run(server: Server, plan: Plan, scenario: str, contender: Contender, number: int) -> Run:
    label = f"{scenario}, round {number}, {contender.peer}"
    with console.status(label), server.database() as database:
        try:
            run = await SCENARIOS[scenario](contender, plan, database, number)
        except RunError as error:
            run = Run(scenario, "", contender.peer, number, 0, problems=[str(error)])
    shown = {name: f"{value:,.1f}" for name, value in run.values.items()}
    console.print(f"{label}: {_joined(shown)}", highlight=False)
    for problem in run.problems:
        console.print(f"{label}: {problem}", style="red", markup=False, highlight=False)
    return run


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
    for note in table.notes(result):
        console.print(note, style="red", markup=False, highlight=False)
    console.print(f"Raw result: {path}", highlight=False, soft_wrap=True)


def _joined(values: dict[str, str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def _file_name(result: Result) -> str:
    return f"{datetime.now(UTC):%Y-%m-%d}-{result.conditions['commit']}.json"


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
