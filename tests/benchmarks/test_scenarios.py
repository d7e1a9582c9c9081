"""The pure parts of the benchmark's scenarios."""

from __future__ import annotations

import array
import math
from typing import TYPE_CHECKING, Any, cast

import pytest

from benchmarks import environment
from benchmarks.scenarios import SCENARIOS
from benchmarks.scenarios.checks import complaints
from benchmarks.scenarios.contender import Contender
from benchmarks.scenarios.defers import FORMS, form_jobs, forms
from benchmarks.scenarios.measures import latencies_ms, read_times, throughput
from benchmarks.scenarios.plan import Plan
from benchmarks.scenarios.tasks import processes_for

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.backends import Backends

SIZES = {
    "burn_down": 1000,
    "burn_down_quick": 500,
    "memory_waiting": 9000,
    "memory_waiting_quick": 900,
    "memory_drained": 100,
}


def contender(**described: Any) -> Contender:
    """A peer that offers no-ops alone, unless told otherwise."""
    description = {"sizes": SIZES, "kinds": ["noop"], "abilities": [], **described}
    return Contender("peer", ["true"], description, cast("Backends", None))


def plan(mode: str = "default") -> Plan:
    """A plan with the usual numbers."""
    return Plan(mode, concurrency=100, batch_size=1000)


def test_run_without_fault_has_no_complaints() -> None:
    assert complaints(0, 10, 10, 10, 0, all_done=True) == []


@pytest.mark.parametrize(
    ("doubled", "once", "succeeded", "unfinished", "said"),
    [
        (1, 9, 9, 1, ["1 job(s) ran more than once", "1 jobs left over"]),
        (0, 10, 9, 0, ["9 jobs in the history, but 10 ran once", "1 of 10 jobs lost"]),
        (0, 9, 9, 0, ["1 of 10 jobs lost"]),
        (0, 8, 8, 2, ["2 jobs left over"]),
    ],
)
def test_complaints_name_what_does_not_add_up(
    doubled: int, once: int, succeeded: int, unfinished: int, said: list[str]
) -> None:
    assert complaints(doubled, once, 10, succeeded, unfinished, all_done=True) == said


def test_jobs_may_be_left_over_where_not_all_were_asked_for() -> None:
    assert complaints(0, 8, 10, 8, 2, all_done=False) == []


def test_throughput_counts_only_what_began_within_the_window() -> None:
    started = [0, 5, 10, 1_000_000_010, 1_000_000_011]
    assert throughput(started, 10, 1_000_000_010) == 2
    assert math.isnan(throughput(started, 10, 10))


def test_latency_leaves_out_jobs_that_did_not_start() -> None:
    assert latencies_ms([1_000_000, 2_000_000, 0], [3_000_000, 0, 9], 2) == [2.0]


def test_times_are_read_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "times"
    path.write_bytes(array.array("q", [0, 2**40]).tobytes())
    assert read_times(path) == [0, 2**40]


def test_missing_abilities_are_named() -> None:
    pickup = SCENARIOS["pickup"]
    assert pickup.missing(contender()) == "not offered: single"
    assert pickup.missing(contender(abilities=["single"])) == ""


def test_peer_without_abilities_in_its_description_offers_none() -> None:
    described = Contender("peer", ["true"], {"sizes": SIZES}, cast("Backends", None))
    assert SCENARIOS["burn_down"].missing(described) == "not offered: noop"


def test_scenario_for_another_backend_is_told_apart() -> None:
    for name, scenario in SCENARIOS.items():
        if "redis" not in scenario.backends:
            assert scenario.missing(contender(backend="redis")) == "not for redis", name


def test_history_is_expected_unless_denied() -> None:
    assert contender().history
    assert not contender(history=False).history


def test_sizes_follow_mode() -> None:
    assert plan("quick").burn_down_jobs(contender()) == 500
    assert plan("full").burn_down_jobs(contender()) == 1000
    assert plan().short_jobs(contender(), 10_000) == 250
    assert plan("full").short_jobs(contender(), 100) == 100


def test_every_form_of_defer_has_a_job_for_each_caller_and_a_full_batch() -> None:
    for form in FORMS:
        assert form_jobs(form, plan("quick"), contender()) >= form.size


def test_quick_run_measures_some_forms_of_defer_and_any_other_run_all() -> None:
    assert [form.variant for form in forms(plan("quick"))] == [
        "single 1",
        "single 64",
        "batch 1000",
    ]
    assert forms(plan()) == forms(plan("full")) == FORMS


def test_peer_that_defers_slowly_gets_fewer_batches_unless_all_is_asked_for() -> None:
    [batches] = [form for form in FORMS if form.variant == "batch 1000"]
    assert form_jobs(batches, plan(), contender()) == SIZES["memory_waiting"]
    assert form_jobs(batches, plan("full"), contender()) == batches.jobs * 5


def test_only_computing_jobs_get_processes_and_only_where_offered() -> None:
    assert processes_for("cpu", contender()) == 0
    assert processes_for("io", contender(abilities=["processes"])) == 0
    assert processes_for("cpu", contender(abilities=["processes"])) >= 1


def test_every_scenario_has_rounds_in_every_mode() -> None:
    for scenario in SCENARIOS.values():
        assert all(scenario.rounds_of(mode) >= 1 for mode in ("quick", "default", "full"))


def test_forthwith_comes_first_among_the_peers() -> None:
    assert environment.peer_names()[:2] == ["forthwith", "raw_sql"]


def test_environment_is_made_anew_when_a_pin_changes() -> None:
    assert environment.fingerprint([b"a", b"b"]) != environment.fingerprint([b"ab"])
