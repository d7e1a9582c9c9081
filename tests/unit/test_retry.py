"""ExponentialBackoffStrategy: how often a task runs, and how long it waits."""

from __future__ import annotations

import dataclasses
import datetime
import math
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from procrastinate.jobs import Job

from forthwith.errors import InvalidArgument
from forthwith.retry import (
    WAIT_MAX_S,
    BaseRetryStrategy,
    ExponentialBackoffStrategy,
    RetryDecision,
    RetryStrategy,
    wait_s_of,
)

quick = settings(deadline=None, max_examples=100)


def job_after(attempts: int) -> Job:
    return Job(id=1, queue="q", lock=None, queueing_lock=None, task_name="task", attempts=attempts)


def wait_of(strategy: ExponentialBackoffStrategy, attempts: int) -> float | None:
    return strategy.get_schedule_in(exception=ValueError(), attempts=attempts)


def test_max_attempts_counts_every_run_of_the_function() -> None:
    strategy = ExponentialBackoffStrategy(max_attempts=3)
    retried = [wait_of(strategy, attempts) is not None for attempts in range(5)]
    assert retried == [True, True, False, False, False]


def test_one_attempt_means_no_retry() -> None:
    assert wait_of(ExponentialBackoffStrategy(max_attempts=1), 0) is None


def test_waits_double_up_to_the_longest() -> None:
    strategy = ExponentialBackoffStrategy(max_attempts=9, base_delay=2.0, max_delay=10.0)
    assert [strategy.wait_s(attempts) for attempts in range(5)] == [2.0, 4.0, 8.0, 10.0, 10.0]


def test_fractions_of_a_second_count() -> None:
    strategy = ExponentialBackoffStrategy(base_delay=0.05, max_delay=0.15)
    assert [strategy.wait_s(attempts) for attempts in range(3)] == [0.05, 0.1, 0.15]


@pytest.mark.parametrize("attempts", [1_000, 1_100, 10**6, 2**63, 10**30])
def test_any_number_of_attempts_waits_the_longest_time(attempts: int) -> None:
    assert ExponentialBackoffStrategy(max_delay=7).wait_s(attempts) == 7


@quick
@given(
    base=st.floats(min_value=1e-6, max_value=1e6),
    longest=st.floats(min_value=1e-6, max_value=1e9),
    attempts=st.integers(min_value=0, max_value=5_000),
)
def test_a_wait_never_shrinks_and_never_exceeds_the_longest(
    base: float, longest: float, attempts: int
) -> None:
    strategy = ExponentialBackoffStrategy(10_000, min(base, longest), longest)
    assert strategy.wait_s(attempts) <= strategy.wait_s(attempts + 1) <= longest


@quick
@given(attempts=st.integers(min_value=0, max_value=50))
def test_jitter_stays_between_zero_and_the_planned_wait(attempts: int) -> None:
    strategy = ExponentialBackoffStrategy(max_attempts=100, jitter=True)
    wait = wait_of(strategy, attempts)
    assert wait is not None
    assert 0 <= wait <= strategy.wait_s(attempts)


def test_jitter_spreads_jobs_that_failed_together() -> None:
    strategy = ExponentialBackoffStrategy(jitter=True)
    assert len({wait_of(strategy, 0) for _ in range(50)}) > 25


def test_decision_is_due_after_the_wait() -> None:
    strategy = ExponentialBackoffStrategy(base_delay=2.5)
    before = datetime.datetime.now(tz=datetime.UTC)
    decision = strategy.get_retry_decision(exception=ValueError(), job=job_after(1))
    after = datetime.datetime.now(tz=datetime.UTC)
    assert isinstance(decision, RetryDecision)
    assert decision.retry_at is not None
    wait = datetime.timedelta(seconds=5)
    assert before + wait <= decision.retry_at <= after + wait
    assert (decision.queue, decision.priority, decision.lock) == (None, None, None)


def test_a_wait_beyond_the_calendar_ends_with_it() -> None:
    strategy = ExponentialBackoffStrategy(base_delay=1e300, max_delay=1e300)
    decision = strategy.get_retry_decision(exception=ValueError(), job=job_after(0))
    assert decision is not None
    assert decision.retry_at == datetime.datetime.max.replace(tzinfo=datetime.UTC)


@quick
@given(
    strategy=st.one_of(
        st.builds(
            RetryStrategy,
            max_attempts=st.none() | st.integers(0, 4),
            wait=st.integers(-5, 1000),
            linear_wait=st.integers(-5, 1000),
            exponential_wait=st.integers(0, 9),
            retry_exceptions=st.sampled_from(
                [None, [ValueError], [KeyError], (OSError, ValueError)]
            ),
        ),
        st.builds(
            ExponentialBackoffStrategy,
            max_attempts=st.integers(1, 5),
            base_delay=st.floats(0.001, 100),
            max_delay=st.floats(100, 1000),
            retry_exceptions=st.sampled_from([None, [ValueError], [KeyError]]),
        ),
    ),
    attempts=st.integers(0, 6),
)
def test_wait_is_the_one_until_the_strategys_own_time(
    strategy: RetryStrategy | ExponentialBackoffStrategy, attempts: int
) -> None:
    error = ValueError()
    before = datetime.datetime.now(tz=datetime.UTC)
    decision = strategy.get_retry_decision(exception=error, job=job_after(attempts))
    after = datetime.datetime.now(tz=datetime.UTC)
    wait_s = wait_s_of(strategy, error, attempts)
    if decision is None:
        assert wait_s is None
        return
    assert wait_s is not None
    assert decision.retry_at is not None
    if wait_s == 0:
        assert decision.retry_at <= after
    else:
        wait = datetime.timedelta(seconds=wait_s)
        assert before + wait <= decision.retry_at <= after + wait


@pytest.mark.parametrize(
    "strategy",
    [
        ExponentialBackoffStrategy(base_delay=1e300, max_delay=1e300),
        RetryStrategy(wait=10**400),
        RetryStrategy(wait=math.inf),  # type: ignore[arg-type]
    ],
)
def test_wait_beyond_the_calendar_ends_before_it(strategy: Any) -> None:
    assert wait_s_of(strategy, ValueError(), 0) == WAIT_MAX_S


def test_wait_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="not a number"):
        wait_s_of(RetryStrategy(wait=math.nan), ValueError(), 0)  # type: ignore[arg-type]


def test_no_decision_after_the_last_attempt() -> None:
    strategy = ExponentialBackoffStrategy(max_attempts=2)
    assert strategy.get_retry_decision(exception=ValueError(), job=job_after(1)) is None


def test_only_the_chosen_exceptions_and_their_subclasses_are_retried() -> None:
    strategy = ExponentialBackoffStrategy(retry_exceptions=[ConnectionError, LookupError])
    assert strategy.get_schedule_in(exception=KeyError(), attempts=0) is not None
    assert strategy.get_schedule_in(exception=ConnectionResetError(), attempts=0) is not None
    assert strategy.get_schedule_in(exception=ValueError(), attempts=0) is None


def test_exceptions_may_come_from_a_generator() -> None:
    strategy = ExponentialBackoffStrategy(retry_exceptions=(c for c in [KeyError]))
    for _ in range(2):
        assert strategy.get_schedule_in(exception=KeyError(), attempts=0) is not None


def test_procrastinate_gets_its_retry_exception_without_a_warning() -> None:
    strategy: BaseRetryStrategy = ExponentialBackoffStrategy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        retry = strategy.get_retry_exception(exception=ValueError(), job=job_after(0))
        assert strategy.get_schedule_in(exception=ValueError(), attempts=0) == 2.0
    assert retry is not None
    assert isinstance(retry.retry_decision, RetryDecision)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("max_attempts", 0),
        ("max_attempts", -1),
        ("max_attempts", True),
        ("max_attempts", 2.0),
        ("max_attempts", "3"),
        ("max_attempts", None),
        ("base_delay", 0),
        ("base_delay", -1),
        ("base_delay", math.nan),
        ("base_delay", math.inf),
        ("base_delay", True),
        ("base_delay", "2"),
        ("base_delay", 10**400),
        ("base_delay", 301),
        ("max_delay", 0),
        ("max_delay", -math.inf),
        ("max_delay", math.nan),
        ("max_delay", None),
        ("retry_exceptions", []),
        ("retry_exceptions", ValueError),
        ("retry_exceptions", [ValueError()]),
        ("retry_exceptions", [int]),
        ("retry_exceptions", "ValueError"),
        ("retry_exceptions", 3),
        ("jitter", 1),
        ("jitter", None),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as refused:
        ExponentialBackoffStrategy(**{argument: value})
    assert refused.value.argument == argument
    assert isinstance(refused.value, ValueError)


def test_strategies_never_change() -> None:
    strategy = ExponentialBackoffStrategy()
    with pytest.raises(dataclasses.FrozenInstanceError):
        strategy.max_attempts = 9  # type: ignore[misc]


def test_equal_strategies_are_equal_and_show_their_values() -> None:
    one, same = ExponentialBackoffStrategy(3, 1.5), ExponentialBackoffStrategy(3, 1.5)
    assert one == same
    assert hash(one) == hash(same)
    assert one != ExponentialBackoffStrategy(4, 1.5)
    assert repr(one) == (
        "ExponentialBackoffStrategy(max_attempts=3, base_delay=1.5, max_delay=300.0, "
        "retry_exceptions=None, jitter=False)"
    )
