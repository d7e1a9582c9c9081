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
