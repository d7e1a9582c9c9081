"""The benchmark's plots: which bars, which scale, and files that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from PIL import Image

from benchmarks import charts, plot, report, table
from benchmarks.results import PeerResult, Result, Run

if TYPE_CHECKING:
    from pathlib import Path

NAMES = {"forthwith": "forthwith", "slow": "The Slow One", "raw_sql": "raw SQL loop"}
PEERS = [
    *(PeerResult(peer, name, "1") for peer, name in NAMES.items()),
    PeerResult("absent", "Absent", unavailable="no such binary"),
]
CONDITIONS = {"cores": "4", "postgresql server_version": "18.4", "commit": "abc1234"}


def run(scenario: str, peer: str, value: float, number: int = 1, variant: str = "") -> Run:
    """A run with one value under every name that a chart may ask for."""
    panels = [panel for _, found in charts.CHARTS.values() for panel in found]
    return Run(scenario, variant, peer, number, 10, {panel.value: value for panel in panels})


@pytest.fixture
def result() -> Result:
    """Two rounds of a burn-down, and one of a scenario that charts.py does not name."""
    runs = [
        *(run("burn_down", "forthwith", value, n) for n, value in enumerate((900.0, 1100.0), 1)),
        *(run("burn_down", "slow", value, n) for n, value in enumerate((4.0, 6.0), 1)),
        Run("burn_down", "", "raw_sql", 1, 0, not_offered="not offered: x"),
        *(run("processes", "forthwith", 50.0 * n, variant=f"{n} processes") for n in (1, 2)),
    ]
    return Result(CONDITIONS, PEERS, runs)


def test_best_comes_first_and_who_has_no_number_says_why(result: Result) -> None:
    chart = charts.charts(result)[0]
    found = charts.bars(result, chart, chart.panels[0])
    assert [(bar.peer, bar.spread and bar.spread.median, bar.absent) for bar in found] == [
        ("forthwith", 1000.0, ""),
        ("slow", 5.0, ""),
        ("raw_sql", None, "not offered"),
        ("absent", None, "could not be set up"),
    ]


def test_lowest_comes_first_where_less_is_better() -> None:
    runs = [run("pickup", "forthwith", 5.0), run("pickup", "slow", 2.0)]
    found = Result(CONDITIONS, PEERS, runs)
    [chart] = charts.charts(found)
    assert [entry.peer for entry in charts.ordered(found, chart)][:2] == ["slow", "forthwith"]


def test_failed_run_has_no_bar() -> None:
    runs = [run("burn_down", "forthwith", 5.0), run("burn_down", "slow", 9.0)]
    runs[1].problems.append("1 jobs lost")
    found = Result(CONDITIONS, PEERS, runs)
    [chart] = charts.charts(found)
    bars = {bar.peer: bar for bar in charts.bars(found, chart, chart.panels[0])}
    assert bars["slow"].absent == "failed"


def test_scenario_that_is_not_named_has_a_panel_for_each_variant(result: Result) -> None:
    chart = charts.charts(result)[1]
    assert chart.scenario == "processes"
    assert [panel.heading for panel in chart.panels] == ["1 processes", "2 processes"]


def test_every_named_chart_has_its_table() -> None:
    assert set(charts.CHARTS) <= set(table.COLUMNS)


@pytest.mark.parametrize(
    ("low", "high", "wanted"), [(1, 100, False), (1, 101, True), (0, 9, False)]
)
def test_scale_is_logarithmic_beyond_a_hundredfold(low: float, high: float, wanted: bool) -> None:
    found = plot.scale(low, high, columns=1)
    assert found.logarithmic is wanted
    assert found.left < max(low, 1)
    assert found.right > high


def test_files_are_valid_small_and_name_every_peer(result: Result, tmp_path: Path) -> None:
    (tmp_path / "benchmarks-of-old.png").touch()
    stems = plot.draw_all(result, tmp_path)
    files = {f"{stem}{suffix}" for stem in stems.values() for suffix in (".png", ".svg")}
    assert {path.name for path in tmp_path.iterdir()} == files
    for stem in stems.values():
        with Image.open(tmp_path / f"{stem}.png") as image:
            image.verify()
            assert image.format == "PNG"
            assert image.width == plot.WIDTH_IN * plot.DPI
        text = " ".join(ElementTree.parse(tmp_path / f"{stem}.svg").getroot().itertext())  # noqa: S314
        assert [name for name in (*NAMES.values(), "Absent", "better") if name not in text] == []
    assert max(path.stat().st_size for path in tmp_path.iterdir()) < 100_000


def test_same_result_makes_the_same_bytes(result: Result, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        plot.draw_all(result, tmp_path / folder)
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / folder).iterdir()}
        for folder in ("one", "two")
    )
    assert one == two


def test_report_shows_each_plot_with_its_numbers_in_words(result: Result) -> None:
    shown = report.pictures(result, {"burn_down": "benchmarks-burn-down"})
    text = report.render(result, "result.json", shown)
    assert "](images/benchmarks-burn-down.png)](images/benchmarks-burn-down.svg)" in text
    assert "forthwith 1,000, The Slow One 5.00, raw SQL loop not offered" in text


def test_caption_has_the_conditions_of_its_own_measurement(result: Result) -> None:
    later = {"cores of idle, processes": "2", "commit of idle, processes": "def5678"}
    joined = Result({**CONDITIONS, **later}, result.peers, result.runs)
    found = {chart.scenario: charts.caption(joined, chart) for chart in charts.charts(joined)}
    assert "2 cores" in found["processes"]
    assert "commit def5678" in found["processes"]
    assert "4 cores" in found["burn_down"]
