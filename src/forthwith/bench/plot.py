"""A picture of the result: a bar for each figure, with the range of the rounds, and the conditions below."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from forthwith.bench.errors import PlotUnavailable
from forthwith.bench.figure import Spread, shown, spreads

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from forthwith.bench.figure import Unit
    from forthwith.bench.laboratory import Result

SUFFIXES = (".png", ".svg")
WIDTH_IN = 9.0
BAR_IN = 0.32
GROUP_IN = 0.85
HEAD_IN, FOOT_IN = 0.5, 0.6
COLOR = "#2f6f9f"
DPI = 150


def check_matplotlib() -> None:
    """Raise `PlotUnavailable` where matplotlib is missing."""
    if importlib.util.find_spec("matplotlib") is None:
        raise PlotUnavailable(
            "--plot draws with matplotlib, which is not installed: pip install 'forthwith[plot]'"
        )


def draw(result: Result, path: Path) -> None:
    """Write the picture to a .png or .svg file. Raises `PlotUnavailable`, and `OSError`."""
    check_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    groups = grouped(result)
    heights = [len(bars) * BAR_IN + GROUP_IN for bars in groups.values()] or [GROUP_IN]
    height_in = sum(heights) + HEAD_IN + FOOT_IN
    foot = FOOT_IN / height_in
    layout = ConstrainedLayoutEngine(rect=(0, foot, 1, 1 - foot))
    figure = Figure(figsize=(WIDTH_IN, height_in), layout=layout)
    figure.suptitle(_title(result))
    axes = figure.subplots(len(heights), 1, squeeze=False, height_ratios=heights)
    for place, (unit, bars) in zip(axes[:, 0], groups.items(), strict=False):
        _draw_bars(place, unit, bars)
    figure.text(0.01, 0.1 / height_in, conditions_text(result), fontsize=7, color="#555555")
    figure.savefig(path, dpi=DPI)


def grouped(result: Result) -> dict[Unit, list[tuple[str, Spread]]]:
    """Return the figures by unit, each with its label, in the order of the report."""
    groups: dict[Unit, list[tuple[str, Spread]]] = {}
    for name in result.settings.scenarios:
        for spread in spreads(result.runs_of(name)):
            groups.setdefault(spread.unit, []).append((f"{name}: {spread.name}", spread))
    return groups


def conditions_text(result: Result) -> str:
    """Return the conditions in three lines."""
    facts, settings = result.facts, result.settings
    durable = ", ".join(
        f"{name} {facts.settings.get(name)}" for name in ("fsync", "synchronous_commit")
    )
    rounds = "1 round" if settings.rounds == 1 else f"{settings.rounds} rounds"
    amiss = "  JOBS WERE AMISS: see the report." if result.problems else ""
    return (
        f"Median of {rounds}; the line spans the lowest and the highest. {durable}, "
        f"history on.{amiss}\n"
        f"{settings.jobs:,} jobs, concurrency {settings.concurrency}; {facts.cores} cores, "
        f"{facts.system}, Python {facts.python_version}.\n"
        f"Round trip {facts.round_trip_ms:.2f} ms, commit {facts.commit_ms:.2f} ms, load average "
        f"before {facts.load_average}."
    )


def _title(result: Result) -> str:
    facts = result.facts
    return (
        f"forthwith {facts.forthwith_version} on PostgreSQL {facts.server_version} ({facts.server})"
    )


def _draw_bars(axes: Axes, unit: Unit, bars: list[tuple[str, Spread]]) -> None:
    positions = range(len(bars))
    medians = [spread.median for _, spread in bars]
    below = [spread.median - spread.low for _, spread in bars]
    above = [spread.high - spread.median for _, spread in bars]
    drawn = axes.barh(
        positions,
        medians,
        xerr=[below, above],
        color=COLOR,
        ecolor="#222222",
        capsize=2,
        height=0.7,
    )
    labels = [f" {shown(median, unit)}" for median in medians]
    axes.bar_label(drawn, labels=labels, fontsize=7)
    axes.set_yticks(positions, [label for label, _ in bars], fontsize=7)
    axes.set_ylim(len(bars) - 0.5, -0.5)  # the first on top
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    axes.set_title(unit, fontsize=8, loc="left")
    axes.tick_params(axis="x", labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
