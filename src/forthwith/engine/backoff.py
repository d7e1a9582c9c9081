"""How long to wait before the next try at something that failed."""

from __future__ import annotations

import logging
import random
import time

FIRST_S = 0.05
LIMIT_S = 1.0
SAY_EVERY_S = 10.0
REASONS_MAX = 5


class Backoff:
    """Waits that double from 50 ms to 1 s, each with full jitter, until `reset()`.

    The limit is low on purpose: a worker must claim and listen again within seconds of its
    database's return, and a try costs one connection attempt.
    """

    def __init__(self, *, first_s: float = FIRST_S, limit_s: float = LIMIT_S) -> None:
        self._first_s = first_s
        self._limit_s = limit_s
        self._wait_s = first_s
        self._said_s = -SAY_EVERY_S
        self._reasons: set[str] = set()

    def next_s(self) -> float:
        """Return how long to wait now, in seconds."""
        wait_s = random.uniform(self._first_s / 2, self._wait_s)
        self._wait_s = min(self._wait_s * 2, self._limit_s)
        return wait_s

    def log_level(self, reason: object) -> int:
        """Return how loud to log this failure: a warning when its reason is new, and every ten seconds.

        An outage of minutes must not fill the log, nor go by unsaid.
        """
        now_s = time.monotonic()
        is_new = str(reason) not in self._reasons and len(self._reasons) < REASONS_MAX
        if not is_new and now_s - self._said_s < SAY_EVERY_S:
            return logging.DEBUG
        self._reasons.add(str(reason))
        self._said_s = now_s
        return logging.WARNING

    def reset(self) -> None:
        """Start from the shortest wait again: it worked."""
        self._wait_s = self._first_s
        self._said_s = -SAY_EVERY_S
        self._reasons.clear()
