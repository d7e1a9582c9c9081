"""When a worker is taken for alive, and when it can be counted on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forthwith.engine.readings import Readings
from forthwith.metrics.health import (
    LIVE_WITHIN_S,
    REACHABLE_WITHIN_S,
    why_not_live,
    why_not_ready,
)

GOOD = Readings(
    worker_id=1,
    holds_lease=True,
    silent_s=0.0,
    is_stopping=False,
    running=3,
    buffered=5,
    unrecorded=0,
    reconnects=1,
)


def test_loop_that_has_just_given_a_sign_is_alive() -> None:
    assert why_not_live(LIVE_WITHIN_S) is None


def test_blocked_loop_is_told_with_its_time() -> None:
    assert why_not_live(LIVE_WITHIN_S + 1.4) == "the event loop has been blocked for 11 s"


def test_worker_in_good_order_is_ready() -> None:
    assert why_not_ready(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"worker_id": 0}, "the worker is not registered"),
        ({"is_stopping": True}, "the worker is stopping"),
        ({"holds_lease": False}, "the worker does not hold its lease"),
        ({"silent_s": REACHABLE_WITHIN_S + 1}, "the database does not answer"),
    ],
)
def test_each_problem_is_named(changes: dict[str, float], problem: str) -> None:
    assert why_not_ready(replace(GOOD, **changes)) == [problem]  # type: ignore[arg-type]


def test_worker_that_has_not_begun_is_not_ready() -> None:
    assert why_not_ready(None) == ["the worker is not registered"]


def test_all_problems_are_told() -> None:
    assert len(why_not_ready(replace(GOOD, holds_lease=False, is_stopping=True))) == 2
