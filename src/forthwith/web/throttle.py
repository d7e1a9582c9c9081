"""Slows down whoever guesses passwords."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_KEYS_MAX = 10_000


class Throttle:
    """Counts failures by key, such as an address: so many within a time, then none for a while."""

    def __init__(
        self, failures_max: int, within_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._failures_max = failures_max
        self._within_s = within_s
        self._clock = clock
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def wait_s(self, key: str) -> float:
        """Return the seconds after which this key may try again; 0 for now."""
        failures = self._failures.get(key)
        if failures is None or len(failures) < self._failures_max:
            return 0.0
        return max(0.0, failures[0] + self._within_s - self._clock())

    def failed(self, key: str) -> None:
        """Count a failure. The keys that failed longest ago are forgotten when there are too many."""
        failures = self._failures.setdefault(key, deque(maxlen=self._failures_max))
        failures.append(self._clock())
        self._failures.move_to_end(key)
        while len(self._failures) > _KEYS_MAX:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)
