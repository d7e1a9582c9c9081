"""The histogram that run times and waiting times are counted in.

`tally.run_counts` and `tally.wait_counts` hold a count for each bound: how many times were no longer than
it, and longer than the bound before. They are counts of each bucket, not running totals.
"""

from __future__ import annotations

import bisect
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BOUNDS_S: tuple[float, ...] = (
    *(0.001, 0.005, 0.01, 0.05, 0.1, 0.5),
    *(1, 5, 10, 60, 300, 3600),
    math.inf,
)
"""The longest time, in seconds, that each bucket counts. The last one takes all that is longer."""


def bucket(time_s: float) -> int:
    """The index of the bucket that counts a time of `time_s` seconds. One below zero counts as zero."""
    return min(bisect.bisect_left(BOUNDS_S, time_s), len(BOUNDS_S) - 1)


def quantile_s(counts: Sequence[int], q: float, sum_s: float | None = None) -> float | None:
    """The time, in seconds, that the share `q` of the counted times do not exceed.

    Within a bucket the times are taken as spread evenly, as far as their sum allows: buckets are wide, and
    a task that always takes 1.01 s is not to be told as one of 3 s. What lies in the last bucket, which has
    no upper bound, is told as the bound below it: at least so long.

    Args:
        counts: how many times fell into each bucket of `BOUNDS_S`. Fewer buckets count as empty ones.
        q: from 0 to 1; 0.95 asks for the time that 19 of 20 kept to.
        sum_s: all counted times together, if that is known.

    Returns:
        None where nothing was counted.

    """
    total = sum(counts)
    if not total:
        return None
    left = q * total
    lower = 0.0
    for place, (count, upper) in enumerate(zip(counts, BOUNDS_S, strict=False)):
        if count and left <= count:
            if math.isinf(upper):
                return lower
            evenly_s = lower + (upper - lower) * left / count
            return evenly_s if sum_s is None else _allowed(evenly_s, counts, place, left, sum_s)
        left -= count
        lower = upper if not math.isinf(upper) else lower
    return lower


def _allowed(
    guess_s: float, counts: Sequence[int], place: int, below: float, sum_s: float
) -> float:
    """Return the time nearest to a guess that a bucket's quantile can be, when all times make `sum_s`.

    `below` of the bucket's times are no longer than it, the others no shorter.
    """
    buckets = list(zip(counts, (0.0, *BOUNDS_S), BOUNDS_S, strict=False))
    count, lower, upper = buckets.pop(place)
    above = count - below
    if above > 0:  # they are at least so long, and what is below is at least `lower`
        most_s = sum_s - sum(many * least_s for many, least_s, _ in buckets if many)
        guess_s = min(guess_s, (most_s - below * lower) / above)
    if below > 0:
        least_s = sum_s - sum(many * longest_s for many, _, longest_s in buckets if many)
        guess_s = max(guess_s, (least_s - above * upper) / below)
    return min(max(guess_s, lower), upper)
