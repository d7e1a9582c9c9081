"""The comparison as charts of bars, one for each scenario: what is shown, in which order, on which scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks import table

if TYPE_CHECKING:
    from benchmarks.results import PeerResult, Result, Spread

# Where the best is so many times the worst, a linear scale would hide all but the best.
LOG_SPREAD = 100.0
YARDSTICK = "raw_sql"
DURABLE = ("fsync", "synchronous_commit")


class Panel(NamedTuple):
    """Bars side by side: one value, of one variant of a scenario."""

    heading: str
    value: str
    unit: str = "jobs/s"
    variant: str = ""
    more_is_better: bool = True


class Chart(NamedTuple):
    """A question and the panels that answer it."""

    scenario: str
    title: str
    panels: tuple[Panel, ...]


class Bar(NamedTuple):
    """What a peer has in a panel: a spread, or the reason why it has none."""

    peer: str
    spread: Spread | None
    absent: str


def _ms(heading: str, value: str, variant: str = "") -> Panel:
    return Panel(heading, value, "ms", variant, more_is_better=False)


# A mode that stands beside the others' in a table: few peers are in it, and its conditions are its own.
OTHER_MODE = "full"
# Scenarios that are not named here, but compared in the tables, get a panel for each variant.
CHARTS = {
    "burn_down": ("A full queue, one worker process", [Panel("jobs run", "jobs_per_s")]),
    "steady": (
        "Producer and worker at once",
        [
            Panel("at full speed", "jobs_per_s", variant="full"),
            _ms("defer to start at half of it, p50", "p50_ms", "half"),
            _ms("defer to start at half of it, p99", "p99_ms", "half"),
        ],
    ),
    "pickup": (
        "From defer to start, idle worker",
        [_ms("p50", "p50_ms"), _ms("p99", "p99_ms")],
    ),
    "defers": (
        "Jobs deferred",
        [
            Panel("one by one, 1 caller", "deferred_per_s", variant="single 1"),
            Panel("one by one, 16 callers", "deferred_per_s", variant="single 16"),
            Panel("one by one, 64 callers", "deferred_per_s", variant="single 64"),
            Panel("in 16 transactions", "deferred_per_s", variant="transaction 16"),
            Panel("batches of 1,000", "deferred_per_s", variant="batch 1000"),
            Panel("batches of 10,000", "deferred_per_s", variant="batch 10000"),
        ],
    ),
    "tasks": (
        "Jobs that do something for 1 ms",
        [
            Panel("async sleep", "jobs_per_s", variant="io"),
            Panel("sleep in a thread", "jobs_per_s", variant="thread"),
            Panel("computation", "jobs_per_s", variant="cpu"),
        ],
    ),
    "retries": ("Every job fails once", [Panel("jobs succeeded", "jobs_per_s")]),
    "memory": (
        "The worker beside a long queue",
        [Panel("resident set, highest", "rss_peak_mib", "MiB", more_is_better=False)],
    ),
    "disk": (
        "What a job takes in the database",
        [
            Panel("waiting", "live_bytes", "bytes", more_is_better=False),
            Panel("finished", "finished_bytes", "bytes", more_is_better=False),
        ],
    ),
    "faults": (
        "Workers killed and PostgreSQL restarted, at half load",
        [
            Panel("jobs run", "jobs_per_s"),
            Panel("from a restart to a job", "recovery_s", "s", more_is_better=False),
        ],
    ),
    "idle": (
        "Ten workers with nothing to do",
        [
            Panel("transactions", "transactions_per_min", "a minute", more_is_better=False),
            Panel("Redis: commands", "commands_per_min", "a minute", more_is_better=False),
            Panel("workers' CPU", "workers_cpu_s_per_min", "s a minute", more_is_better=False),
            Panel("server's CPU", "server_cpu_s_per_min", "s a minute", more_is_better=False),
        ],
    ),
}


def charts(result: Result) -> list[Chart]:
    """A chart for each scenario that has figures, in the order of the tables."""
    found = [chart for scenario in table.COLUMNS if (chart := _chart(result, scenario)) is not None]
    return [chart for chart in found if chart.panels]


def _chart(result: Result, scenario: str) -> Chart | None:
    if scenario in CHARTS:
        title, panels = CHARTS[scenario]
    elif scenario in table.COMPARED:
        title, panels = _title(scenario), _by_variant(result, scenario)
    else:
        return None
    shown = [panel for panel in panels if any(_spreads(result, scenario, panel))]
    return Chart(scenario, title, tuple(shown))


def _title(scenario: str) -> str:
    """The table's title without the scenario's name and without what its columns are."""
    return table.TITLES[scenario].partition(": ")[2].partition(", jobs per second")[0].capitalize()


def _by_variant(result: Result, scenario: str) -> list[Panel]:
    value, more_is_better = table.COMPARED[scenario]
    unit = "ms" if value.endswith("_ms") else "jobs/s"
    return [
        Panel(variant, value, unit, variant, more_is_better)
        for variant in table.variants(result, scenario)
        if variant != OTHER_MODE
    ]


def ordered(result: Result, chart: Chart) -> list[PeerResult]:
    """The peers, best first by the first panel; then those without a number in it."""
    first = chart.panels[0]
    sign = -1 if first.more_is_better else 1
    places = {
        entry.peer: sign * found.median
        for entry in result.peers
        if (found := _spread(result, chart.scenario, first, entry.peer)) is not None
    }
    return sorted(result.peers, key=lambda entry: places.get(entry.peer, float("inf")))


def bars(result: Result, chart: Chart, panel: Panel) -> list[Bar]:
    """A bar for each peer, in the order of the chart."""
    return [_bar(result, chart.scenario, panel, entry) for entry in ordered(result, chart)]


def _bar(result: Result, scenario: str, panel: Panel, entry: PeerResult) -> Bar:
    found = _spread(result, scenario, panel, entry.peer)
    return Bar(entry.peer, found, "" if found else _absent(result, scenario, panel, entry))


def _absent(result: Result, scenario: str, panel: Panel, entry: PeerResult) -> str:
    if entry.unavailable:
        return "could not be set up"
    runs = [
        run
        for run in result.runs
        if (run.scenario, run.peer) == (scenario, entry.peer) and run.variant in (panel.variant, "")
    ]
    if any(run.problems for run in runs):
        return "failed"
    if any(run.not_offered for run in runs):
        return "not offered"
    return "not counted" if runs else "not measured"


def _spread(result: Result, scenario: str, panel: Panel, peer: str) -> Spread | None:
    return table.median_of(result, scenario, peer, panel.value, panel.variant)


def _spreads(result: Result, scenario: str, panel: Panel) -> list[Spread]:
    found = [_spread(result, scenario, panel, entry.peer) for entry in result.peers]
    return [spread for spread in found if spread is not None]


def limits(result: Result, chart: Chart, unit: str) -> tuple[float, float]:
    """The lowest and the highest of all panels with this unit: they share a scale."""
    found = [
        spread
        for panel in chart.panels
        if panel.unit == unit
        for spread in _spreads(result, chart.scenario, panel)
    ]
    return min(spread.low for spread in found), max(spread.high for spread in found)


def is_logarithmic(low: float, high: float) -> bool:
    """Whether values spread so far that the scale has to be logarithmic."""
    return low > 0 and high / low > LOG_SPREAD


def shown(value: float) -> str:
    """A value with three digits or more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def better(panel: Panel) -> str:
    """Which end is the good one."""
    return "more is better" if panel.more_is_better else "less is better"


def alternative(result: Result, chart: Chart) -> str:
    """The chart in words, for who can't see it: the first panel's medians."""
    panel = chart.panels[0]
    names = {entry.peer: entry.name for entry in result.peers}
    said = [
        f"{names[bar.peer]} {shown(bar.spread.median) if bar.spread else bar.absent}"
        for bar in bars(result, chart, panel)
    ]
    shows = ", ".join(part for part in (chart.title, panel.heading, panel.unit) if part)
    return f"{shows} ({better(panel)}): {', '.join(said)}"


def _conditions_of(result: Result, scenario: str) -> dict[str, str]:
    """The conditions under which a scenario was measured: of several results, the last word counts."""
    found = dict(result.conditions)
    for key, value in result.conditions.items():
        name, of, scenarios = key.partition(" of ")
        if of and scenario in scenarios.split(", "):
            found[name] = value
    return found


def caption(result: Result, chart: Chart) -> str:
    """What the bars and lines are, and the conditions, in two lines."""
    conditions = _conditions_of(result, chart.scenario)
    rounds = max(
        (run.round for run in result.runs if run.scenario == chart.scenario and run.values),
        default=0,
    )
    how = "One round." if rounds == 1 else f"Median of {rounds} rounds; lines: lowest to highest."
    yardstick = any(entry.peer == YARDSTICK for entry in result.peers)
    durable = [f"{name} {conditions.get(f'postgresql {name}', '?')}" for name in DURABLE]
    redis = conditions.get("redis appendfsync")
    facts = [
        f"{conditions.get('cores', '?')} cores",
        f"PostgreSQL {conditions.get('postgresql server_version', '?')}, {', '.join(durable)}",
        *([f"Redis appendfsync {redis}"] if redis else []),
        f"commit {conditions.get('commit', '?')}",
        conditions.get("date", "?")[:10],
    ]
    return (
        f"{how}{' Raw SQL is a yardstick, and no queue.' if yardstick else ''}\n{'; '.join(facts)}"
    )
