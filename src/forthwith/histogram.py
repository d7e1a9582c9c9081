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


def quantile_s(counts: Sequence[int], q: float) -> float | None:
    """The time, in seconds, that the share `q` of the counted times do not exceed.

    Within a bucket the times are taken as spread evenly. What lies in the last bucket, which has no upper
    bound, is told as the bound below it: at least so long.

    Args:
        counts: how many times fell into each bucket of `BOUNDS_S`. Fewer buckets count as empty ones.
        q: from 0 to 1; 0.95 asks for the time that 19 of 20 kept to.

    Returns:
        None where nothing was counted.

    """
    total = sum(counts)
    if not total:
        return None
    left = q * total
    lower = 0.0
    for count, upper in zip(counts, BOUNDS_S, strict=False):
        if count and left <= count:
            return lower if math.isinf(upper) else lower + (upper - lower) * left / count
        left -= count
        lower = upper if not math.isinf(upper) else lower
    return lower
