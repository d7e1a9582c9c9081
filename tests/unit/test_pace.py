"""How many jobs to claim ahead."""

from __future__ import annotations

from forthwith.engine.pace import Pace


def test_nothing_is_claimed_ahead_before_anything_is_known() -> None:
    assert Pace().ahead == 0


def test_as_many_are_held_as_finish_within_the_horizon() -> None:
    pace = Pace(horizon_s=0.1)
    pace.observe(0, 10.0)
    pace.observe(1000, 11.0)
    assert pace.ahead == 100


def test_slow_tasks_are_not_hoarded() -> None:
    pace = Pace(horizon_s=0.04)
    pace.observe(0, 10.0)
    pace.observe(10, 11.0)
    assert pace.ahead == 0


def test_burst_within_the_horizon_does_not_count_yet() -> None:
    pace = Pace(horizon_s=1.0)
    pace.observe(0, 10.0)
    pace.observe(100, 10.1)
    assert pace.ahead == 0
    pace.observe(100, 11.0)
    assert pace.ahead == 100


def test_rate_falls_by_halves_and_rises_at_once() -> None:
    pace = Pace(horizon_s=1.0)
    pace.observe(0, 10.0)
    pace.observe(80, 11.0)
    pace.observe(80, 12.0)
    assert pace.ahead == 40
    pace.observe(80, 13.0)
    assert pace.ahead == 20
    pace.observe(1080, 14.0)
    assert pace.ahead == 1000


def test_there_is_a_limit() -> None:
    pace = Pace(horizon_s=1.0, ahead_max=50)
    pace.observe(0, 10.0)
    pace.observe(10_000, 11.0)
    assert pace.ahead == 50


def test_a_slow_database_moves_the_horizon_and_one_slow_claim_is_forgotten() -> None:
    pace = Pace(horizon_s=0.04)
    pace.observe(1000, 1.0)
    assert pace.ahead == 40
    pace.observe_claim(0.005)
    assert pace.ahead == 40, "three such claims fit within the horizon"
    pace.observe_claim(0.1)
    assert pace.ahead == 300
    for _ in range(10):
        pace.observe_claim(0.005)
    assert pace.ahead == 40
    pace.observe_claim(10.0)
    assert pace.ahead == 500, "there is a limit"
