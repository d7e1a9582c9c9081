"""How fast jobs finish, and so how many to claim ahead."""

from __future__ import annotations

HORIZON_S = 0.04
HORIZON_MAX_S = 0.5
CLAIMS_AHEAD = 3
AHEAD_MAX = 8000


class Pace:
    """How many jobs to hold beyond those that run: as many as finish within the horizon.

    Claiming ahead pays for fast tasks, whose runners would idle during a claim's round trip. For
    slow ones it would only hoard jobs that another worker could start now, and make priorities
    stale: a task that takes longer than the horizon gets next to nothing claimed ahead.

    Where the database is far away or busy, the horizon is three of its round trips: a claim starts
    when half of what is held is left, and the other half must last until it is back.
    """

    def __init__(self, *, horizon_s: float = HORIZON_S, ahead_max: int = AHEAD_MAX) -> None:
        self._horizon_s = horizon_s
        self._claim_s = 0.0
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

    def observe_claim(self, took_s: float) -> None:
        """Note how long a claim took. One slow claim counts at once, and fades by halves."""
        self._claim_s = max(took_s, (took_s + self._claim_s) / 2)

    @property
    def ahead(self) -> int:
        """How many jobs to hold beyond those that run."""
        reach_s = max(self._horizon_s, min(CLAIMS_AHEAD * self._claim_s, HORIZON_MAX_S))
        return min(int(self._rate * reach_s), self._ahead_max)
