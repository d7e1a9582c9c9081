"""How long it took from each fault until work went on, read from a history."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from forthwith.verify.checkers.timelines import holds, names_of_workers
from forthwith.verify.checkers.workers import RESTART_GRACE_S
from forthwith.verify.history import FINAL

if TYPE_CHECKING:
    from forthwith.verify.checkers.timelines import Hold
    from forthwith.verify.history import Fault, History

AWAY = frozenset({"restart", "crash", "outage"})
LOST = frozenset({"kill", "freeze", "vanish"})


@dataclass(frozen=True, slots=True)
class Recovery:
    """How quickly work went on after one kind of fault, over all its cases. Seconds."""

    kind: str
    meaning: str
    times_s: tuple[float, ...]

    @property
    def median_s(self) -> float:
        """The median over the cases."""
        return median(self.times_s)

    @property
    def max_s(self) -> float:
        """The slowest case."""
        return max(self.times_s)


def recoveries(history: History) -> list[Recovery]:
    """Return how quickly jobs and workers recovered, for each kind of fault that shows it.

    After a kill, freeze or vanishing: from its beginning until a job that the worker held was
    claimed again. After the server was away: from its return until a worker claimed its next job.
    """
    times: dict[str, list[float]] = defaultdict(list)
    held = _held_by_name(history)
    for fault in history.faults:
        if fault.kind in LOST and fault.hits:
            _add_taken_over(times, fault, held[fault.target], history)
        elif fault.kind in AWAY and fault.hits:
            times[fault.kind] += _claiming_again(fault, history)
    return [
        Recovery(
            kind,
            "each worker claims again" if kind in AWAY else "its jobs claimed again",
            tuple(sorted(values)),
        )
        for kind, values in sorted(times.items())
        if values
    ]


def _held_by_name(history: History) -> dict[str, list[Hold]]:
    names = names_of_workers(history)
    held: dict[str, list[Hold]] = defaultdict(list)
    for hold in holds(history):
        if hold.worker_id in names:
            held[names[hold.worker_id]].append(hold)
    return held


def _add_taken_over(
    times: dict[str, list[float]], fault: Fault, held: list[Hold], history: History
) -> None:
    """Add the time to the next claim of each job that others took away from the fault's worker.

    Where the server was away meanwhile, that is another measurement: nobody is taken for dead
    for five seconds after a start.
    """
    claims: dict[int, list[float]] = defaultdict(list)
    for change in history.changes:
        if change.after == "doing":
            claims[change.job_id].append(change.s)
    for hold in held:
        end = hold.end
        if end is None or end.actor == fault.target or end.after in FINAL:
            continue
        again = [s for s in claims[hold.job_id] if s >= end.s]
        if again and hold.claim.s <= fault.began_s <= end.s:
            amid = _was_away(fault.began_s, min(again), history)
            kind = f"{fault.kind}, server away" if amid else fault.kind
            times[kind].append(min(again) - fault.began_s)


def _was_away(from_s: float, to_s: float, history: History) -> bool:
    return any(
        fault.kind in AWAY and fault.began_s < to_s and fault.ended_s + RESTART_GRACE_S > from_s
        for fault in history.faults
    )


def _claiming_again(fault: Fault, history: History) -> list[float]:
    """The time from the server's return to the first claim of each worker that was there before."""
    away = [f for f in history.faults if f.kind in AWAY and f.began_s > fault.ended_s]
    until_s = min((f.began_s for f in away), default=float("inf"))
    times: list[float] = []
    for worker in history.workers:
        harmed = any(f.target == worker.name and f.ended_s > fault.began_s for f in history.faults)
        if worker.started_s > fault.began_s or harmed:
            continue
        claims = [
            change.s
            for change in history.changes
            if change.actor == worker.name
            and change.after == "doing"
            and fault.ended_s <= change.s < until_s
        ]
        times += [min(claims) - fault.ended_s] if claims else []
    return times
