"""Waits between tries."""

from __future__ import annotations

from forthwith.engine.backoff import Backoff


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
