"""The comparison as rows of text: printed as a table, or written into the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.results import Result, Run, Spread, spread

if TYPE_CHECKING:
    from collections.abc import Callable


class Column(NamedTuple):
    """One column: its heading, the value it shows, and how a number of it looks."""

    heading: str
    value: str
    show: Callable[[float], str]


class Table(NamedTuple):
    """A titled table of text."""

    title: str
    headings: list[str]
    rows: list[list[str]]


def _whole(value: float) -> str:
    return f"{value:,.0f}"


def _tenths(value: float) -> str:
    return f"{value:,.1f}"


def _hundredths(value: float) -> str:
    return f"{value:,.2f}"


COLUMNS = {
    "burn_down": [
        Column("run", "jobs_per_s", _whole),
        Column("from first start", "jobs_per_s_from_first_start", _whole),
        Column("deferred", "deferred_per_s", _whole),
    ],
    "pickup": [
        Column("p50", "p50_ms", _hundredths),
        Column("p99", "p99_ms", _hundredths),
        Column("max", "max_ms", _hundredths),
    ],
    "memory": [
        Column("drained", "drained", _whole),
        Column("before", "rss_before_mib", _tenths),
        Column("peak", "rss_peak_mib", _tenths),
    ],
}
TITLES = {
    "burn_down": "burn_down: a full queue, one worker process, jobs per second",
    "pickup": "pickup: from defer to start, idle worker, in milliseconds",
    "memory": "memory: the worker beside a long queue, resident set in MiB",
}


def notes(result: Result) -> list[str]:
    """What a reader of the tables must not miss: who is not in them, and what went wrong."""
    absent = [
        f"{peer.name} could not be set up: {peer.unavailable}"
        for peer in result.peers
        if peer.unavailable
    ]
    return [*absent, *result.problems()]


def tables(result: Result) -> list[Table]:
    """A table for each scenario that ran, in the order of COLUMNS."""
    scenarios = [name for name in COLUMNS if any(run.scenario == name for run in result.runs)]
    return [_table(result, scenario) for scenario in scenarios]


def _table(result: Result, scenario: str) -> Table:
    columns = COLUMNS[scenario]
    headings = ["peer", "jobs", "rounds", *(column.heading for column in columns)]
    if scenario == "burn_down":
        headings.append("forthwith is")
    rows = [_row(result, scenario, peer.peer) for peer in result.peers]
    return Table(TITLES[scenario], headings, rows)


def _row(result: Result, scenario: str, peer: str) -> list[str]:
    entry = next(entry for entry in result.peers if entry.peer == peer)
    title = f"{entry.name} {entry.version}".strip()
    runs = measured(result, scenario, peer)
    if not runs:
        return [title, "unavailable" if entry.unavailable else "failed"]
    cells = [_cell(runs, column) for column in COLUMNS[scenario]]
    row = [title, _whole(runs[0].jobs), str(len(runs)), *cells]
    return [*row, _ratio(result, peer)] if scenario == "burn_down" else row


def measured(result: Result, scenario: str, peer: str) -> list[Run]:
    """The runs of a peer that count: a run with a problem, or that is not offered, has no number."""
    return [
        run
        for run in result.runs
        if run.scenario == scenario and run.peer == peer and not (run.problems or run.not_offered)
    ]


def median_of(result: Result, scenario: str, peer: str, value: str) -> Spread | None:
    """Median and range of a value over the rounds."""
    runs = measured(result, scenario, peer)
    return spread([run.values[value] for run in runs if value in run.values])


def _cell(runs: list[Run], column: Column) -> str:
    found = spread([run.values[column.value] for run in runs if column.value in run.values])
    if found is None:
        return "—"
    median = column.show(found.median)
    if found.low == found.high:
        return median
    return f"{median} ({column.show(found.low)} to {column.show(found.high)})"


def _ratio(result: Result, peer: str) -> str:
    ours = median_of(result, "burn_down", "forthwith", "jobs_per_s")
    theirs = median_of(result, "burn_down", peer, "jobs_per_s")
    if peer == "forthwith" or ours is None or theirs is None:
        return ""
    return f"{ours.median / theirs.median:,.1f}x"
