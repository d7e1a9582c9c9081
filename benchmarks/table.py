"""The comparison as rows of text: printed as a table, or written into the documentation."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.results import PeerResult, Result, Run, Spread, spread

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


def _percent(value: float) -> str:
    return f"{value:.0%}"


COLUMNS = {
    "burn_down": [
        Column("run", "jobs_per_s", _whole),
        Column("from first start", "jobs_per_s_from_first_start", _whole),
        Column("deferred", "deferred_per_s", _whole),
    ],
    "steady": [
        Column("jobs/s", "jobs_per_s", _whole),
        Column("p50", "p50_ms", _hundredths),
        Column("p99", "p99_ms", _hundredths),
    ],
    "pickup": [
        Column("p50", "p50_ms", _hundredths),
        Column("p99", "p99_ms", _hundredths),
        Column("max", "max_ms", _hundredths),
    ],
    "defers": [Column("deferred", "deferred_per_s", _whole)],
    "tasks": [Column("jobs/s", "jobs_per_s", _whole), Column("processes", "processes", _whole)],
    "processes": [
        Column("jobs/s", "jobs_per_s", _whole),
        Column("linear", "share_of_linear", _percent),
        Column("busy", "cores_busy", _hundredths),
        Column("server", "cores_server", _hundredths),
        Column("workers", "cores_workers", _hundredths),
    ],
    "retries": [Column("jobs/s", "jobs_per_s", _whole)],
    "full_tables": [
        Column("full", "jobs_per_s", _whole),
        Column("empty", "jobs_per_s_empty", _whole),
        Column("of empty", "share_of_empty", _percent),
        Column("finished", "finished", _whole),
        Column("scheduled", "scheduled", _whole),
        Column("elsewhere", "waiting", _whole),
        Column("locked", "locked", _whole),
    ],
    "old_snapshot": [
        Column("last tenth", "jobs_per_s", _whole),
        Column("first tenth", "jobs_per_s_first", _whole),
        Column("of first", "share_of_first", _percent),
    ],
    "memory": [
        Column("drained", "drained", _whole),
        Column("before", "rss_before_mib", _tenths),
        Column("peak", "rss_peak_mib", _tenths),
    ],
    "disk": [
        Column("waiting", "live_bytes", _whole),
        Column("finished", "finished_bytes", _whole),
    ],
    "faults": [
        Column("jobs/s", "jobs_per_s", _whole),
        Column("of peace", "share_of_peace", _percent),
        Column("first", "recovery_s", _hundredths),
        Column("since", "fresh_s", _hundredths),
        Column("drained", "drained_s", _tenths),
        Column("lost", "lost", _whole),
        Column("left", "unfinished", _whole),
        Column("twice", "second_runs", _whole),
    ],
    "idle": [
        Column("transactions", "transactions_per_min", _tenths),
        Column("commands", "commands_per_min", _tenths),
        Column("workers' CPU s", "workers_cpu_s_per_min", _hundredths),
        Column("server's CPU s", "server_cpu_s_per_min", _hundredths),
    ],
}
TITLES = {
    "burn_down": "burn_down: a full queue, one worker process, jobs per second",
    "steady": "steady: producer and worker at once; at full speed, then at half of it with milliseconds",
    "pickup": "pickup: from defer to start, idle worker, in milliseconds",
    "defers": "defers: jobs deferred per second, by callers at once or jobs in a batch",
    "tasks": "tasks: 1 ms of async sleep, of sleep in a thread, of computation, jobs per second",
    "processes": "processes: a full queue, one to four worker processes, jobs per second; "
    "cores busy in all, with the server, with the workers",
    "retries": "retries: every job fails once, jobs per second",
    "full_tables": "full_tables: a burn-down in tables full of other jobs, and in empty ones, "
    "jobs per second until the last has begun",
    "old_snapshot": "old_snapshot: a burn-down while somebody holds a snapshot open, jobs per second",
    "memory": "memory: the worker beside a long queue, resident set in MiB",
    "disk": "disk: a job in the database, bytes with indexes, waiting and when it is done",
    "faults": "faults: steady at half load, a worker killed every 2 s, one restart of PostgreSQL; "
    "seconds from its return to the first job, to one deferred since, and from the end until all were done",
    "idle": "idle: ten workers with nothing to do; a worker's transactions (Redis: commands) a minute, "
    "and all workers' and the server's CPU seconds a minute",
}
# What the peers are compared by, and whether more of it is better.
COMPARED = {
    "burn_down": ("jobs_per_s", True),
    "steady": ("jobs_per_s", True),
    "pickup": ("p50_ms", False),
    "defers": ("deferred_per_s", True),
    "tasks": ("jobs_per_s", True),
    "processes": ("jobs_per_s", True),
    "retries": ("jobs_per_s", True),
    "full_tables": ("jobs_per_s", True),
    "old_snapshot": ("jobs_per_s", True),
}


# What a reader must hear of a peer, although it is a figure of that peer and no error of the run.
FAULTS = {
    "lost": "lost when workers were killed",
    "unfinished": "of killed workers not finished a minute after the end",
}


def notes(result: Result) -> list[str]:
    """What a reader of the tables must not miss: who is not in them, and what went wrong."""
    absent = [
        f"{peer.name} could not be set up: {peer.unavailable}"
        for peer in result.peers
        if peer.unavailable
    ]
    faults = [
        f"{run.scenario}, {run.peer}, round {run.round}: {run.values[value]:,.0f} jobs {words}"
        for run in result.runs
        for value, words in FAULTS.items()
        if run.values.get(value)
    ]
    return [*absent, *faults, *result.problems()]


def tables(result: Result) -> list[Table]:
    """A table for each scenario that ran, in the order of COLUMNS."""
    scenarios = [name for name in COLUMNS if any(run.scenario == name for run in result.runs)]
    return [_table(result, scenario) for scenario in scenarios]


def variants(result: Result, scenario: str) -> list[str]:
    """The variants of a scenario that ran, in their order; most have one, without a name."""
    found = dict.fromkeys(run.variant for run in result.runs if run.scenario == scenario)
    named = [variant for variant in found if variant]
    return named or [""]  # a run that failed as a whole has none


def _table(result: Result, scenario: str) -> Table:
    found = variants(result, scenario)
    headings = ["peer", *(["form"] if found != [""] else []), "jobs", "rounds"]
    headings += [column.heading for column in COLUMNS[scenario]]
    if scenario in COMPARED:
        headings.append("forthwith is")
    rows = [_row(result, scenario, variant, entry) for variant in found for entry in result.peers]
    return Table(TITLES[scenario], headings, rows)


def _row(result: Result, scenario: str, variant: str, entry: PeerResult) -> list[str]:
    head = [f"{entry.name} {entry.version}".strip(), *([variant] if variant else [])]
    runs = measured(result, scenario, entry.peer, variant)
    if not runs:
        return [*head, _why_absent(result, scenario, variant, entry)]
    cells = [_cell(runs, column) for column in COLUMNS[scenario]]
    row = [*head, _whole(runs[0].jobs), str(len(runs)), *cells]
    return [*row, _ratio(result, scenario, variant, entry.peer)] if scenario in COMPARED else row


def _why_absent(result: Result, scenario: str, variant: str, entry: PeerResult) -> str:
    if entry.unavailable:
        return "unavailable"
    runs = [
        run
        for run in result.runs
        if (run.scenario, run.peer) == (scenario, entry.peer) and run.variant in (variant, "")
    ]
    if not runs:
        return "not measured"
    return "not offered" if all(run.not_offered for run in runs) else "failed"


def measured(result: Result, scenario: str, peer: str, variant: str = "") -> list[Run]:
    """The runs of a peer that count: a run with a problem, or that is not offered, has no number."""
    return [
        run
        for run in result.runs
        if (run.scenario, run.peer, run.variant) == (scenario, peer, variant)
        and not (run.problems or run.not_offered)
    ]


def median_of(
    result: Result, scenario: str, peer: str, value: str, variant: str = ""
) -> Spread | None:
    """Median and range of a value over the rounds."""
    runs = measured(result, scenario, peer, variant)
    return spread([run.values[value] for run in runs if value in run.values])


def _cell(runs: list[Run], column: Column) -> str:
    found = spread([run.values[column.value] for run in runs if column.value in run.values])
    if found is None:
        return "—"
    median = column.show(found.median)
    if found.low == found.high:
        return median
    return f"{median} ({column.show(found.low)} to {column.show(found.high)})"


def ratio(result: Result, scenario: str, variant: str, peer: str, value: str = "") -> float | None:
    """How many times better forthwith's median is than a peer's; None where one is missing.

    Of the value that the scenario is compared by, or of another one of which the same end is good.
    """
    compared, more_is_better = COMPARED[scenario]
    value = value or compared
    ours = median_of(result, scenario, "forthwith", value, variant)
    theirs = median_of(result, scenario, peer, value, variant)
    if ours is None or theirs is None or not (ours.median and theirs.median):
        return None
    return ours.median / theirs.median if more_is_better else theirs.median / ours.median


def _ratio(result: Result, scenario: str, variant: str, peer: str) -> str:
    found = None if peer == "forthwith" else ratio(result, scenario, variant, peer)
    return "" if found is None else f"{found:,.1f}x"
