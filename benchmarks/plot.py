"""Draws the charts, as PNG and SVG: the same result makes the same bytes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from PIL import Image

from benchmarks import charts
from benchmarks.charts import YARDSTICK

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from benchmarks.charts import Bar, Chart, Panel
    from benchmarks.results import Result, Spread

# From the palette of Okabe and Ito, which colour-blind people tell apart; the greys differ in lightness.
OUR_NAME = "forthwith"
OURS, OTHERS, RULER = "#0072B2", "#A9A9A9", "#E3E3E3"
INK, FAINT = "#222222", "#666666"
WIDTH_IN, BAR_IN, PANEL_IN, HEAD_IN, FOOT_IN = 8.0, 0.26, 0.75, 0.4, 0.5
COLUMNS = 3
DPI = 160
# A bar on a logarithmic scale begins at a power of ten below this part of the lowest value.
LEAST_BAR = 0.7
PALETTE = 64
# How much of a panel's width a label needs, by the number of columns.
LABEL_SHARE = {1: 0.10, 2: 0.19, 3: 0.32}
STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "forthwith",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "ytick.color": INK,
    "xtick.color": FAINT,
    "hatch.color": OTHERS,
    "hatch.linewidth": 0.6,
}
METADATA: dict[str, dict[str, str | None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
}


class Scale(NamedTuple):
    """An axis: its ends, and whether it is logarithmic."""

    left: float
    right: float
    logarithmic: bool


def draw_all(result: Result, folder: Path) -> dict[str, str]:
    """Draw every chart into `folder`, in place of those before; file stems by scenario."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("benchmarks-*"):
        old.unlink()
    stems = {}
    for chart in charts.charts(result):
        stems[chart.scenario] = f"benchmarks-{chart.scenario.replace('_', '-')}"
        draw(result, chart, folder / stems[chart.scenario])
    return stems


def draw(result: Result, chart: Chart, path: Path) -> None:
    """Write one chart to `path` with .png and with .svg."""
    with mpl.rc_context(STYLE):
        figure = _figure(result, chart)
        for suffix, metadata in METADATA.items():
            figure.savefig(path.with_suffix(suffix), dpi=DPI, metadata=metadata)
    _shrink(path.with_suffix(".png"))


def _shrink(path: Path) -> None:
    """Few colours are enough: a third of the size."""
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(PALETTE, dither=Image.Dither.NONE)
    few.save(path, optimize=True, dpi=(DPI, DPI))


def _figure(result: Result, chart: Chart) -> Figure:
    columns = min(COLUMNS, len(chart.panels))
    rows = math.ceil(len(chart.panels) / columns)
    height_in = HEAD_IN + FOOT_IN + rows * (PANEL_IN + BAR_IN * len(result.peers))
    foot = FOOT_IN / height_in
    layout = ConstrainedLayoutEngine(rect=(0, foot, 1, 1 - foot))
    figure = Figure(figsize=(WIDTH_IN, height_in), layout=layout)
    figure.suptitle(chart.title, fontsize=12, fontweight="bold", x=0.012, ha="left")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    names = [entry.name for entry in charts.ordered(result, chart)]
    for place, panel in zip(axes, chart.panels, strict=False):
        low, high = charts.limits(result, chart, panel.unit)
        _draw_panel(place, panel, charts.bars(result, chart, panel), scale(low, high, columns))
    for place in axes[len(chart.panels) :]:
        place.set_visible(False)
    for place in axes[::columns]:
        _label_peers(place, names)
    figure.text(0.012, 0.08 / height_in, charts.caption(result, chart), fontsize=7.5, color=FAINT)
    return figure


def scale(low: float, high: float, columns: int) -> Scale:
    """An axis with room for the longest bar's label."""
    room = 1 / (1 - LABEL_SHARE[columns])
    if not charts.is_logarithmic(low, high):
        return Scale(0.0, (high or 1.0) * room, logarithmic=False)
    left = 10.0 ** math.floor(math.log10(low * LEAST_BAR))
    return Scale(left, left * (high / left) ** room, logarithmic=True)


def _label_peers(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)  # the best on top
    for label in axes.get_yticklabels():
        if label.get_text() == OUR_NAME:
            label.set(color=OURS, fontweight="bold")


def _draw_panel(axes: Axes, panel: Panel, bars: list[Bar], found: Scale) -> None:
    _draw_axis(axes, panel, found)
    _draw_ranges(axes, bars)
    for position, bar in enumerate(bars):
        if bar.spread is None:
            _write(axes, found.left, position, bar.absent, color=FAINT, fontstyle="italic")
        else:
            _draw_bar(axes, position, bar.peer, bar.spread, found.left)


def _draw_axis(axes: Axes, panel: Panel, found: Scale) -> None:
    kind = ", log scale" if found.logarithmic else ""
    axes.set_title(
        f"{panel.heading}\n{panel.unit}, {charts.better(panel)}{kind}", fontsize=8.5, loc="left"
    )
    axes.set_xscale("log" if found.logarithmic else "linear")
    axes.set_xlim(found.left, found.right)
    axes.xaxis.set_major_locator(LogLocator(numticks=6) if found.logarithmic else MaxNLocator(4))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(_tick))
    axes.tick_params(axis="x", labelsize=7.5, length=2)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "bottom"]].set_visible(False)


def _draw_ranges(axes: Axes, bars: list[Bar]) -> None:
    """A line from the lowest to the highest round; one call for all keeps the SVG small."""
    found = [(place, bar.spread) for place, bar in enumerate(bars) if bar.spread is not None]
    wide = [(place, spread) for place, spread in found if spread.low < spread.high]
    axes.hlines(
        [place for place, _ in wide],
        [spread.low for _, spread in wide],
        [spread.high for _, spread in wide],
        colors=INK,
        linewidth=1.2,
        zorder=3,
    )


def _draw_bar(axes: Axes, position: int, peer: str, spread: Spread, left: float) -> None:
    ours = peer == "forthwith"
    axes.barh(
        position,
        spread.median - left,
        left=left,
        height=0.72,
        color=OURS if ours else RULER if peer == YARDSTICK else OTHERS,
        hatch="////" if peer == YARDSTICK else None,
        clip_on=False,
    )
    emphasis = {"color": OURS, "fontweight": "bold"} if ours else {}
    _write(axes, spread.high, position, charts.shown(spread.median), **emphasis)


def _write(axes: Axes, x: float, y: float, words: str, **look: Any) -> None:
    """Words right of a point."""
    axes.annotate(
        words,
        (x, y),
        xytext=(4, 0),
        textcoords="offset points",
        va="center_baseline",
        fontsize=8,
        **look,
    )


def _tick(value: float, _position: int) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
