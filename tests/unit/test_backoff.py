"""Waits between tries."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from forthwith.engine import backoff as module
from forthwith.engine.backoff import Backoff

if TYPE_CHECKING:
    import pytest


def test_waits_double_up_to_the_limit_with_jitter() -> None:
    for _ in range(50):
        backoff = Backoff(first_s=1.0, limit_s=5.0)
        for highest_s in (1.0, 2.0, 4.0, 5.0, 5.0, 5.0):
            assert 0.5 <= backoff.next_s() <= highest_s


def test_limit_below_the_first_wait_is_kept_after_it() -> None:
    backoff = Backoff(first_s=0.05, limit_s=0.5)
    assert max(backoff.next_s() for _ in range(100)) <= 0.5


def test_reset_starts_from_the_shortest_wait() -> None:
    backoff = Backoff(first_s=1.0, limit_s=100.0)
    for _ in range(10):
        backoff.next_s()
    backoff.reset()
    assert backoff.next_s() <= 1.0


def test_two_workers_do_not_come_back_together() -> None:
    waits = {Backoff(first_s=1.0, limit_s=1.0).next_s() for _ in range(20)}
    assert len(waits) > 1


def test_failures_are_logged_aloud_when_new_and_then_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(60))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(clock)))
    backoff = Backoff()
    reasons = ["refused"] * 5 + ["starting up"] * 54
    levels = [backoff.log_level(reason) for reason in reasons]
    aloud = [second for second, level in enumerate(levels) if level == logging.WARNING]
    assert aloud == [0, 5, 15, 25, 35, 45, 55]
    backoff.reset()
    assert backoff.log_level("refused") == logging.WARNING


def test_reasons_that_are_new_each_time_do_not_fill_the_log() -> None:
    backoff = Backoff()
    levels = [backoff.log_level(f"could not write xlogtemp.{number}") for number in range(100)]
    assert levels.count(logging.WARNING) == module.REASONS_MAX
