"""What `forthwith bench` says in the end: the figures, the conditions beside them, the hints."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from forthwith.bench.figure import shown, spreads
from forthwith.bench.place import drop_command
from forthwith.bench.scenarios import ALL
from forthwith.cli.columns import Column
from forthwith.cli.output import print_fields, print_table
from forthwith.cli.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.bench.facts import Facts
    from forthwith.bench.figure import Run
    from forthwith.bench.laboratory import Result

# What decides how durable a number is stands beside it, whatever else is measured.
_SETTINGS_SHOWN = (
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_level",
    "shared_buffers",
    "max_wal_size",
)


def print_report(result: Result) -> None:
    """Write it for people."""
    click.echo()
    columns = (
        Column("scenario"),
        Column("figure"),
        Column("median", number=True),
        Column("lowest", number=True),
        Column("highest", number=True),
        Column("unit"),
    )
    print_table(columns, _rows(result), "Nothing was measured.")
    click.echo()
    print_fields((name, _with(result.runs_of(name))) for name in _measured(result))
    click.echo()
    print_fields(_conditions(result))
    for line in _remarks(result):
        click.echo()
        click.echo(one_line(line))
    click.echo()
    click.echo(_conclusion(result))


def report_document(result: Result) -> dict[str, Any]:
    """Return the same for programs."""
    settings = asdict(result.settings)
    return {
        "ok": not result.problems,
        "elapsed_s": round(result.elapsed_s, 3),
        "conditions": _condition_document(result.facts),
        "sizes": {
            name: value
            for name, value in settings.items()
            if name not in {"home", "url", "scenarios"}
        },
        "scenarios": [_scenario_document(result, name) for name in _measured(result)],
        "skipped": dict(result.skipped),
        "hints": [asdict(hint) for hint in result.hints],
        "leftovers": list(result.leftovers),
    }


def _measured(result: Result) -> list[str]:
    return [name for name in result.settings.scenarios if result.runs_of(name)]


def _rows(result: Result) -> Iterator[tuple[object, ...]]:
    for name in _measured(result):
        runs = result.runs_of(name)
        found = spreads(runs)
        if not found:
            yield name, "FAILED, see below", "", "", "", ""
        for spread in found:
            numbers = (
                shown(value, spread.unit) for value in (spread.median, spread.low, spread.high)
            )
            yield name, spread.name, *numbers, spread.unit


def _with(runs: list[Run]) -> str:
    """Return the conditions of a scenario's own, in a few words."""
    setup = next((run.setup for run in runs if run.ok), {})
    values = {"rounds": sum(run.ok for run in runs), **setup}
    words = [f"{name} {_number(value)}" for name, value in values.items()]
    loads = [load for run in runs for load in (run.load_average_before, run.load_average_after)]
    known = [load for load in loads if load is not None]
    if known:
        words.append(f"load average {min(known):.1f} to {max(known):.1f}")
    return ", ".join(words)


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _conditions(result: Result) -> Iterator[tuple[str, object]]:
    facts = result.facts
    yield "forthwith", f"{facts.forthwith_version}, Python {facts.python_version}, {facts.system}"
    where = "" if facts.is_local else ", over a network"
    yield "PostgreSQL", f"{facts.server_version} ({facts.server}{where})"
    for name in _SETTINGS_SHOWN:
        yield name, facts.settings.get(name)
    yield "history", "on: finished jobs are kept"
    yield "cores", f"{facts.cores} for this command and its workers"
    yield "load average", "before the first run " + str(facts.load_average)
    yield "round trip", f"{facts.round_trip_ms:.2f} ms"
    yield "commit", f"{facts.commit_ms:.2f} ms for one row, the round trip included"


def _remarks(result: Result) -> Iterator[str]:
    for hint in result.hints:
        yield f"{'NUMBERS DO NOT COUNT' if hint.spoils else 'Hint'} ({hint.topic}): {hint.text}"
    for name, reason in result.skipped.items():
        yield f"Not measured: {name}: {reason}"
    for schema in result.leftovers:
        yield (
            f"The schema {schema} is of another run, which was killed or still goes on. Once it does "
            f"not: {drop_command(schema)}"
        )
    for problem in result.problems:
        yield f"AMISS: {problem}"


def _conclusion(result: Result) -> str:
    if result.problems:
        return "Jobs are amiss: see above. Rounds in which that happened have no figures."
    return f"Every run was checked: no job was lost, none ran too often ({result.elapsed_s:.0f} s)."


def _condition_document(facts: Facts) -> dict[str, Any]:
    return {**asdict(facts), "history": "on"}


def _scenario_document(result: Result, name: str) -> dict[str, Any]:
    runs, facts = result.runs_of(name), result.facts
    return {
        "name": name,
        "number": ALL[name].number,
        "rounds": len(runs),
        "conditions": {
            **next((run.setup for run in runs if run.ok), {}),
            "server_version": facts.server_version,
            "fsync": facts.settings.get("fsync"),
            "synchronous_commit": facts.settings.get("synchronous_commit"),
            "history": "on",
            "cores": facts.cores,
            "round_trip_ms": facts.round_trip_ms,
            "load_averages": [[run.load_average_before, run.load_average_after] for run in runs],
        },
        "figures": [
            {
                "name": spread.name,
                "unit": spread.unit,
                "median": spread.median,
                "low": spread.low,
                "high": spread.high,
                "values": list(spread.values),
            }
            for spread in spreads(runs)
        ],
        "jobs": sum(run.jobs for run in runs),
        "problems": [problem for run in runs for problem in run.problems],
    }
