"""Counts what a worker does: by the batch, for a job is over in ten microseconds.

What is counted here leaves in two ways: the tallier adds it to the database every few seconds, and a
monitoring system reads it over HTTP, from another thread.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, bisect_right
from collections import defaultdict
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from forthwith.histogram import BOUNDS_S
from forthwith.outcome import Aborted, Failed, Outcome, Released, Retry, Succeeded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from forthwith.engine.ports import Rescued

PAIRS_MAX = 1000
"""Of how many pairs of queue and task counts are kept apart. All further ones share `OTHERS`."""
OTHERS = "(others)"
SIZE_BOUNDS: tuple[float, ...] = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, math.inf)
"""The largest batch that each bucket counts."""
OUTCOMES: Mapping[type[Any], str] = {
    Succeeded: "succeeded",
    Failed: "failed",
    Retry: "retried",
    Aborted: "aborted",
    Released: "released",
}
CRASHED = "crashed"


class Key(NamedTuple):
    """What ended attempts are counted by."""

    queue: str
    task: str
    outcome: str


class Histogram:
    """How many values fell into each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = BOUNDS_S) -> None:
        self.bounds = bounds
        self.counts = [0] * len(bounds)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def observe_all(self, values: Sequence[float]) -> None:
        """Count values: a few calls for all of them, whatever they are."""
        first = self.bounds[0]
        rest = sorted([value for value in values if value > first])
        self.counts[0] += len(values) - len(rest)
        self.sum += sum(values)
        below = 0
        for index in range(1, len(self.bounds)):
            if below == len(rest):
                return
            upto = bisect_right(rest, self.bounds[index], below)
            self.counts[index] += upto - below
            below = upto

    def add(self, other: Histogram) -> None:
        """Add what another has counted."""
        self.counts = [mine + its for mine, its in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum


class Ended:
    """Attempts that ended in one way: how many, how long they ran, and had waited since they were due.

    Of large claims the wait of one job in twenty is known: `wait_s` is a fair sample.
    """

    __slots__ = ("attempts", "run_s", "wait_s")

    def __init__(self) -> None:
        self.attempts = 0
        self.run_s = Histogram()
        self.wait_s = Histogram()

    @property
    def wait_sum_s(self) -> float:
        """How long all of them had waited together, judging by those of which it is known."""
        known = sum(self.wait_s.counts)
        return self.wait_s.sum * self.attempts / known if known else 0.0

    def add(self, other: Ended) -> None:
        """Add what another has counted."""
        self.attempts += other.attempts
        self.run_s.add(other.run_s)
        self.wait_s.add(other.wait_s)


class Counts:
    """Ended attempts by queue, task and outcome; those beyond `PAIRS_MAX` pairs together."""

    def __init__(self) -> None:
        self.by_key: dict[Key, Ended] = {}
        self._pairs: set[tuple[str, str]] = set()

    def at(self, key: Key) -> Ended:
        """Return where attempts of that key are counted."""
        found = self.by_key.get(key)
        return self._new(key) if found is None else found

    def _new(self, key: Key) -> Ended:
        if key[:2] not in self._pairs and len(self._pairs) >= PAIRS_MAX:
            key = Key(OTHERS, OTHERS, key.outcome)
        else:
            self._pairs.add(key[:2])
        return self.by_key.setdefault(key, Ended())

    def add(self, other: Counts) -> None:
        """Add what another has counted."""
        for key, ended in other.by_key.items():
            self.at(key).add(ended)


class Meter:
    """What one worker has done since it began. One event loop counts, any thread may look."""

    def __init__(self) -> None:
        self.claims = Histogram(SIZE_BOUNDS)
        """How many jobs each claim took that took any."""
        self.completions = Histogram(SIZE_BOUNDS)
        """How many outcomes were recorded together."""
        self.rescued = 0
        """Jobs that this worker took over from dead ones."""
        self.leases_lost = 0
        self.refused = 0
        """Outcomes that changed nothing: others had taken the job over."""
        self._total = Counts()
        self._fresh = Counts()
        self._moving = threading.Lock()

    def claimed(self, size: int) -> None:
        """Count a claim that took so many jobs."""
        self.claims.observe(size)

    def ended(
        self, outcomes: Sequence[Outcome], runs_s: Sequence[float], accepted: Collection[int]
    ) -> None:
        """Count outcomes that were sent together, how long each ran, and which jobs' were accepted."""
        self.completions.observe(len(outcomes))
        if len(accepted) < len(outcomes):
            taken = [outcome.job.id in accepted for outcome in outcomes]
            self.refused += taken.count(False)
            outcomes = [each for each, is_in in zip(outcomes, taken, strict=True) if is_in]
            runs_s = [each for each, is_in in zip(runs_s, taken, strict=True) if is_in]
        self._count(outcomes, runs_s)

    def ended_alone(self, outcome: Outcome, run_s: float) -> None:
        """Count a job whose own transaction has recorded its success."""
        self._count([outcome], [run_s])

    def lost_lease(self) -> None:
        """Count that the worker was taken for dead."""
        self.leases_lost += 1

    def took_over(self, jobs: Iterable[Rescued]) -> None:
        """Count rescued jobs. The run that its worker's death ended is an attempt, if it had started."""
        for job in jobs:
            self.rescued += 1
            if job.fate != "released":
                self._fresh.at(Key(job.queue, job.task, CRASHED)).attempts += 1

    def take(self) -> Counts:
        """Return the ended attempts that were counted since the last call."""
        with self._moving:
            fresh, self._fresh = self._fresh, Counts()
            self._total.add(fresh)
            return fresh

    def total(self) -> Counts:
        """Return all ended attempts that were ever counted. From any thread."""
        total = Counts()
        with self._moving:
            for counts in (self._total, self._fresh):
                for key, ended in list(counts.by_key.items()):
                    total.at(key).add(ended)
        return total

    def _count(self, outcomes: Sequence[Outcome], runs_s: Sequence[float]) -> None:
        jobs = list(map(_job, outcomes))
        queues, tasks = list(map(_queue, jobs)), list(map(_task, jobs))
        waits_s = list(map(_wait_s, jobs))  # None for most, where there are many
        if len(set(queues)) == len(set(tasks)) == len(set(map(type, outcomes))) == 1:
            self._count_alike(
                Key(queues[0], tasks[0], OUTCOMES[type(outcomes[0])]), runs_s, waits_s
            )
            return
        groups: dict[tuple[str, str, type[Outcome]], tuple[list[float], list[float | None]]]
        groups = defaultdict(lambda: ([], []))
        for kind, run_s, wait_s in zip(
            zip(queues, tasks, map(type, outcomes), strict=True), runs_s, waits_s, strict=True
        ):
            runs, waits = groups[kind]
            runs.append(run_s)
            waits.append(wait_s)
        for (queue, task, cls), (runs, waits) in groups.items():
            self._count_alike(Key(queue, task, OUTCOMES[cls]), runs, waits)

    def _count_alike(
        self, key: Key, runs_s: Sequence[float], waits_s: Sequence[float | None]
    ) -> None:
        ended = self._fresh.at(key)
        ended.attempts += len(runs_s)
        if key.outcome != OUTCOMES[Released]:  # that is no attempt
            ended.run_s.observe_all(runs_s)
            ended.wait_s.observe_all([wait_s for wait_s in waits_s if wait_s is not None])


_job, _queue, _task = itemgetter(0), attrgetter("queue"), attrgetter("task")
_wait_s = attrgetter("wait_s")
