"""How fast jobs finish, and so how many to claim ahead."""

from __future__ import annotations

HORIZON_S = 0.04
AHEAD_MAX = 4000


class Pace:
    """How many jobs to hold beyond those that run: as many as finish within the horizon.

    Claiming ahead pays for fast tasks, whose runners would idle during a claim's round trip. For
    slow ones it would only hoard jobs that another worker could start now, and make priorities
    stale: a task that takes longer than the horizon gets next to nothing claimed ahead.
    """

    def __init__(self, *, horizon_s: float = HORIZON_S, ahead_max: int = AHEAD_MAX) -> None:
        self._horizon_s = horizon_s
        self._ahead_max = ahead_max
        self._since_s = 0.0
        self._finished = 0
        self._rate = 0.0

    def observe(self, finished: int, now_s: float) -> None:
        """Note that `finished` jobs have ended in all, at `now_s` of a monotonic clock.

        The rate is taken over a horizon at least, so that a hundred slow jobs that happen to end
        together do not look fast. It follows upwards at once and downwards by halves.
        """
        elapsed_s = now_s - self._since_s
        if elapsed_s < self._horizon_s:
            return
        rate = (finished - self._finished) / elapsed_s
        self._rate = rate if rate >= self._rate else (rate + self._rate) / 2
        self._since_s = now_s
        self._finished = finished

    @property
    def ahead(self) -> int:
        """How many jobs to hold beyond those that run."""
        return min(int(self._rate * self._horizon_s), self._ahead_max)
