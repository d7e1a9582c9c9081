"""How runs are counted, added up and judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forthwith.bench.crew import Sample
from forthwith.bench.event import parsed
from forthwith.bench.figure import Figure, Run, percentile, spreads
from forthwith.bench.scenarios.old_snapshot import pace
from forthwith.bench.scenarios.processes import counts
from forthwith.bench.scenarios.steady import ran_until
from forthwith.bench.tally import Tally, added, load, strays

if TYPE_CHECKING:
    from pathlib import Path


def tally_of(*numbers: int) -> Tally:
    tally = Tally()
    for number in numbers:
        tally.note(number)
    return tally


def test_each_job_once_is_no_news() -> None:
    assert strays(tally_of(2, 0, 1), 3, 1) == []
    assert strays(tally_of(0, 1, 1, 0), 2, 2) == []


def test_jobs_that_ran_too_often_or_never_are_counted() -> None:
    tally = added([tally_of(0, 1, 1, 4)], 4)
    assert strays(tally, 4, 1) == [
        "1 runs of jobs that nobody deferred",
        "2 of 4 jobs ran 0 times, not 1",
        "1 of 4 jobs ran 2 times, not 1",
    ]


def test_tally_survives_a_job_without_end() -> None:
    assert strays(tally_of(*[0] * 300), 1, 1) == ["1 of 1 jobs ran 255 times, not 1"]


def test_tallies_of_several_workers_are_added(tmp_path: Path) -> None:
    first, second = tally_of(0, 5), tally_of(1, 5)
    first.waits_s.append(0.5)
    for number, tally in enumerate((first, second)):
        tally.save(tmp_path / f"worker-{number}.tally")
    loaded = [load(tmp_path / f"worker-{number}.tally") for number in range(2)]
    total = added(loaded, 6)
    assert list(total.runs[:6]) == [1, 1, 0, 0, 0, 2]
    assert (total.count, list(total.waits_s)) == (4, [0.5])


def test_only_rounds_without_problems_have_figures() -> None:
    def run(number: int, value: float, *problems: str) -> Run:
        figures = (Figure("run", value, "jobs/s"),)
        return Run(scenario="x", round=number, jobs=1, figures=figures, problems=problems)

    [spread] = spreads([run(1, 10), run(2, 30), run(3, 1000, "a job is lost"), run(4, 20)])
    assert (spread.median, spread.low, spread.high) == (20, 10, 30)
    assert spreads([run(1, 10, "a job is lost")]) == []


@pytest.mark.parametrize(("share", "value"), [(0.5, 51), (0.99, 100), (1.0, 100), (0.0, 1)])
def test_percentile(share: float, value: float) -> None:
    assert percentile([*range(100, 0, -1)], share) == value


def test_pace_of_a_part() -> None:
    samples = [Sample(float(second), second * 100) for second in range(1, 11)]
    assert pace(samples, 0.0, 0, 200) == 100
    assert pace([*samples, Sample(12.0, 1100)], 0.0, 1000, 1100) == 50
    assert pace([Sample(2.0, 500)], 1.0, 0, 100) == 500


def test_jobs_of_a_window() -> None:
    samples = [Sample(1.0, 10), Sample(2.0, 30), Sample(3.0, 70)]
    assert [ran_until(samples, at_s) for at_s in (0.5, 2.0, 2.9, 9.0)] == [0, 30, 30, 70]


@pytest.mark.parametrize(
    ("most", "found"), [(1, [1]), (2, [1, 2]), (3, [1, 2, 3]), (4, [1, 2, 4]), (6, [1, 2, 4, 6])]
)
def test_numbers_of_processes(most: int, found: list[int]) -> None:
    assert counts(most) == found


@pytest.mark.parametrize("line", [b"", b"warning: x\n", b"[1]\n", b'{"event": "ran"}\n', b"3\n"])
def test_line_that_is_no_event_is_passed_over(line: bytes) -> None:
    assert parsed(line) is None
