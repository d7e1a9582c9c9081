"""The demo's verdict: a check is worth something only if it can fail."""

from __future__ import annotations

from app.demo.audit import Delivery, judge

ACCEPTED = {"a": 1, "b": 2, "c": 3}
JOBS = [
    Delivery(1, "a", "succeeded", retried=False, rescued=False),
    Delivery(2, "b", "succeeded", retried=True, rescued=False),
    Delivery(3, "c", "succeeded", retried=True, rescued=True),
]
RECEIVED = {"a": 1, "b": 1, "c": 2}


def changed(status: str) -> list[Delivery]:
    """Return the jobs with event b's in another status."""
    return [JOBS[0], JOBS[1]._replace(status=status), JOBS[2]]


def test_everything_delivered_is_good() -> None:
    verdict = judge(ACCEPTED, JOBS, RECEIVED, overlaps=0)

    assert verdict.is_good
    assert (verdict.accepted, verdict.delivered, verdict.lost) == (3, 3, ())
    assert (verdict.retried, verdict.rescued, verdict.delivered_twice) == (2, 1, 1)


def test_event_that_the_receiver_lacks_is_lost() -> None:
    verdict = judge(ACCEPTED, JOBS, {"a": 1, "c": 1}, overlaps=0)

    assert verdict.lost == ("b",)
    assert not verdict.is_good


def test_event_that_the_database_lacks_is_lost() -> None:
    verdict = judge(ACCEPTED, [JOBS[0], JOBS[2]], RECEIVED, overlaps=0)

    assert verdict.lost == ("b",)
    assert not verdict.is_good


def test_event_whose_job_has_another_number_is_lost() -> None:
    verdict = judge({**ACCEPTED, "b": 7}, JOBS, RECEIVED, overlaps=0)

    assert verdict.lost == ("b",)


def test_event_that_is_still_waiting_at_the_end_is_unfinished_and_not_good() -> None:
    verdict = judge(ACCEPTED, changed("todo"), RECEIVED, overlaps=0)

    assert (verdict.unfinished, verdict.lost) == (1, ())
    assert not verdict.is_good


def test_event_whose_job_was_cancelled_is_lost() -> None:
    assert judge(ACCEPTED, changed("cancelled"), RECEIVED, overlaps=0).lost == ("b",)


def test_event_that_gave_up_is_failed_and_not_lost() -> None:
    verdict = judge(ACCEPTED, changed("failed"), {"a": 1, "c": 1}, overlaps=0)

    assert verdict.is_good
    assert (verdict.failed, verdict.delivered, verdict.lost) == (1, 2, ())


def test_overlapping_deliveries_are_not_good() -> None:
    assert not judge(ACCEPTED, JOBS, RECEIVED, overlaps=1).is_good
