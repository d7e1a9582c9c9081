"""The histogram of run and waiting times."""

from __future__ import annotations

import math

import pytest

from forthwith.histogram import BOUNDS_S, bucket, quantile_s


def counts(**by_bucket: int) -> list[int]:
    """Return counts by bucket: `counts(b3=10)`."""
    return [by_bucket.get(f"b{number}", 0) for number in range(len(BOUNDS_S))]


def test_bounds_rise_and_the_last_takes_all() -> None:
    assert list(BOUNDS_S) == sorted(set(BOUNDS_S))
    assert BOUNDS_S[0] > 0
    assert math.isinf(BOUNDS_S[-1])


@pytest.mark.parametrize(
    ("time_s", "place"),
    [
        (-1, 0),
        (0, 0),
        (0.001, 0),
        (0.0011, 1),
        (1, 6),
        (1.5, 7),
        (3600, 11),
        (1e9, 12),
        (math.inf, 12),
    ],
)
def test_each_time_has_the_bucket_whose_bound_it_keeps_to(time_s: float, place: int) -> None:
    assert bucket(time_s) == place


def test_quantiles() -> None:
    assert quantile_s(counts(), 0.5) is None
    assert quantile_s([], 0.5) is None
    assert quantile_s(counts(b0=10), 0.5) == pytest.approx(0.0005)
    assert quantile_s(counts(b0=10), 1) == pytest.approx(0.001)
    assert quantile_s(counts(b2=4, b3=4), 0.75) == pytest.approx(0.03)
    assert quantile_s(counts(b0=5, b6=5), 0.5) == pytest.approx(0.001)
    assert quantile_s(counts(b12=3), 0.95) == 3600


def test_fewer_buckets_count_as_empty_ones() -> None:
    assert quantile_s([1, 1], 1) == pytest.approx(0.005)


@pytest.mark.parametrize(
    ("time_s", "times"), [(1.01, 1), (1.01, 1000), (4.99, 20), (70, 3), (0.3, 7)]
)
@pytest.mark.parametrize("q", [0.5, 0.95])
def test_sum_keeps_quantiles_of_a_steady_task_near_its_time(
    time_s: float, times: int, q: float
) -> None:
    place = bucket(time_s)
    steady = counts(**{f"b{place}": times})
    told = quantile_s(steady, q, time_s * times)
    lower, upper = BOUNDS_S[place - 1], BOUNDS_S[place]
    # One time may lie apart by as much as all others together make up for.
    assert lower <= told <= lower + (time_s - lower) / (1 - q) + 1e-9
    assert told >= upper - (upper - time_s) / q - 1e-9


def test_sum_takes_other_buckets_into_account() -> None:
    # Ten of 0.5 ms at most, ten of 1 to 5 s: the sum leaves 10.1 s for these.
    assert quantile_s(counts(b0=10, b7=10), 0.75, 10.1) == pytest.approx(1.0, abs=0.03)
    assert quantile_s(counts(b0=10, b7=10), 0.75, 49.9) == pytest.approx(5.0, abs=0.03)
    assert quantile_s(counts(b0=10, b7=10), 0.75, 30) == pytest.approx(3.0)
    assert quantile_s(counts(b7=10, b12=1), 0.5, 4000) == pytest.approx(3.2)  # no bound above


@pytest.mark.parametrize("sum_s", [-1.0, 0.0, 1e9])
def test_sum_that_cannot_be_never_leads_out_of_the_bucket(sum_s: float) -> None:
    assert 1 <= (quantile_s(counts(b7=10), 0.5, sum_s) or 0) <= 5
