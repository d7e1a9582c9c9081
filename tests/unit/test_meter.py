"""What a worker counts of its jobs, and that it adds up however it is counted."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from forthwith.engine.meter import OTHERS, PAIRS_MAX, Histogram, Key, Meter
from forthwith.engine.ports import Rescued
from forthwith.histogram import BOUNDS_S, bucket
from forthwith.outcome import Aborted, Failed, Failure, Released, Retry, Succeeded
from tests.unit.claimed import claimed_job

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forthwith.engine.meter import Ended
    from forthwith.outcome import Outcome

FAILURE = Failure("failed", "ValueError", "went wrong", "Traceback")
DEFAULT = Key("default", "work", "succeeded")


def ended(meter: Meter, outcomes: Sequence[Outcome], run_s: float = 0.02) -> None:
    """Let these be recorded together, all of them accepted."""
    meter.ended(outcomes, [run_s] * len(outcomes), {outcome.job.id for outcome in outcomes})


def total(meter: Meter) -> dict[Key, Ended]:
    return meter.total().by_key


@pytest.mark.parametrize("seed", range(5))
def test_values_are_counted_together_as_one_by_one(seed: int) -> None:
    chance = random.Random(seed)
    values = [chance.choice([*BOUNDS_S[:-1], chance.expovariate(1), -0.1]) for _ in range(500)]
    together, single = Histogram(), Histogram()
    together.observe_all(values)
    for value in values:
        single.observe(value)
    assert together.counts == single.counts
    assert together.counts == [
        [bucket(value) for value in values].count(index) for index in range(len(BOUNDS_S))
    ]
    assert together.sum == pytest.approx(sum(values))


def test_nothing_is_counted_of_no_values() -> None:
    histogram = Histogram()
    histogram.observe_all([])
    assert sum(histogram.counts) == 0


def test_jobs_alike_are_counted_with_their_times() -> None:
    meter = Meter()
    ended(meter, [Succeeded(claimed_job(number, wait_s=2.0)) for number in range(3)])
    counted = total(meter)[DEFAULT]
    assert counted.attempts == 3
    assert counted.run_s.counts[bucket(0.02)] == 3
    assert counted.wait_s.counts[bucket(2.0)] == 3
    assert counted.wait_s.sum == pytest.approx(6.0)
    assert sum(meter.completions.counts) == 1


def test_each_way_to_end_is_counted_apart() -> None:
    meter = Meter()
    jobs = [claimed_job(number) for number in range(6)]
    outcomes: list[Outcome] = [
        Succeeded(jobs[0]),
        Succeeded(jobs[1]._replace(queue="mail")),
        Failed(jobs[2], FAILURE),
        Retry(jobs[3], FAILURE, None, None, None, None, None),
        Aborted(jobs[4], None),
        Released(jobs[5]),
    ]
    ended(meter, outcomes)
    assert {key: each.attempts for key, each in total(meter).items()} == {
        DEFAULT: 1,
        Key("mail", "work", "succeeded"): 1,
        Key("default", "work", "failed"): 1,
        Key("default", "work", "retried"): 1,
        Key("default", "work", "aborted"): 1,
        Key("default", "work", "released"): 1,
    }
    assert sum(total(meter)[Key("default", "work", "released")].run_s.counts) == 0


def test_refused_outcome_is_no_ended_attempt() -> None:
    meter = Meter()
    meter.ended([Succeeded(claimed_job(number)) for number in (1, 2)], [0.0, 7.0], {2})
    assert total(meter)[DEFAULT].run_s.sum == pytest.approx(7.0)
    assert total(meter)[DEFAULT].attempts == 1
    assert meter.refused == 1


def test_nothing_accepted_leaves_nothing_counted() -> None:
    meter = Meter()
    meter.ended([Succeeded(claimed_job())], [0.0], set())
    assert (total(meter), meter.refused) == ({}, 1)


def test_crash_is_an_attempt_if_the_job_had_started() -> None:
    meter = Meter()
    meter.took_over(
        [Rescued(1, "work", 7, "rescued", "mail"), Rescued(2, "work", 7, "released", "mail")]
    )
    assert meter.rescued == 2
    assert {key: each.attempts for key, each in total(meter).items()} == {
        Key("mail", "work", "crashed"): 1
    }


def test_what_was_taken_stays_in_the_total() -> None:
    meter = Meter()
    ended(meter, [Succeeded(claimed_job(1))])
    assert meter.take().by_key[DEFAULT].attempts == 1
    assert not meter.take().by_key
    ended(meter, [Succeeded(claimed_job(2))])
    assert total(meter)[DEFAULT].attempts == 2
    assert meter.take().by_key[DEFAULT].attempts == 1


def test_names_beyond_a_limit_are_counted_together() -> None:
    meter = Meter()
    for number in range(PAIRS_MAX + 5):
        ended(meter, [Succeeded(claimed_job(number, queue=f"queue {number}"))])
    counted = total(meter)
    assert len(counted) == PAIRS_MAX + 1
    assert counted[Key(OTHERS, OTHERS, "succeeded")].attempts == 5
    assert len(meter.take().by_key) == PAIRS_MAX + 1
