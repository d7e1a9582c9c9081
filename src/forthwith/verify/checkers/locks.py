"""I6, I7, I10: locks keep jobs apart, and in order; queueing locks keep them single."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

from forthwith.verify.checkers.timelines import (
    CLOCK_SLACK_S,
    Endings,
    changes_of_jobs,
    defers,
    ended_s,
    holds,
    locks_of_jobs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.verify.checkers.timelines import Hold
    from forthwith.verify.history import History, Run

LAST_CHANCE_CRASHES = 2
"""Of the three that the lab's tasks may have."""


def overlaps(history: History) -> Iterator[str]:
    """I6: by the database's own record, and by what the tasks noted.

    The code of a worker that was frozen, cut off or killed may still run, or be thought to, when its
    job runs again: a run counts until its claim has ended, if the worker had given cause for that. A
    healthy worker has no excuse. A job with its last chance after crashes is alone of its kind in its
    worker, so that it fails as poison only if it is.
    """
    yield from _overlapping_holds(history)
    yield from _overlapping_suspects(history)
    yield from _overlapping_runs(history)


def disorder(history: History) -> Iterator[str]:
    """I7: of two jobs of one lock, the one deferred first is claimed first, unless the other has the
    higher priority.

    "First" is real time: its defer was answered before the other one was asked for. Jobs that are
    scheduled for later, and those cancelled before their turn, are left out.
    """
    claims = _first_claims(history)
    lines: dict[str, list[_Turn]] = defaultdict(list)
    for job_id, call in defers(history):
        if (
            call.result == "ok"
            and call.lock is not None
            and not call.is_scheduled
            and job_id in claims
        ):
            turn = _Turn(job_id, call.priority, call.invoked_s, call.returned_s, claims[job_id])
            lines[call.lock].append(turn)
    for lock, turns in lines.items():
        yield from _out_of_turn(lock, turns)


def crowds(history: History) -> Iterator[str]:
    """I10: a job of a queueing lock comes only when no other waits there for its first claim.

    What comes back (by a retry, a release, a rescue) may wait beside a newer one.
    """
    changes = changes_of_jobs(history, archive=False)
    waits: dict[str, list[tuple[int, float, int]]] = defaultdict(list)
    for job_id, call in defers(history):
        if call.queueing_lock is not None and changes[job_id]:
            first, *others = changes[job_id]
            leaves = (change.seq for change in others if change.after != "todo")
            waits[call.queueing_lock].append((first.seq, next(leaves, inf), job_id))
    for key, intervals in waits.items():
        for (_, until, first_id), (since, _, second_id) in pairwise(sorted(intervals)):
            if since < until:
                yield f"job {second_id} came while job {first_id} waited under the same key, {key}"


@dataclass(frozen=True, slots=True)
class _Turn:
    """A job in the line of its lock."""

    job_id: int
    priority: int
    invoked_s: float
    returned_s: float
    claim_seq: int


@dataclass(frozen=True, slots=True)
class _Interval:
    """The part of a run that its lease covers."""

    run: Run
    from_s: float
    to_s: float


def _out_of_turn(lock: str, turns: list[_Turn]) -> Iterator[str]:
    """Go through the turns by the time at which they were asked for. The latest claim among those that
    were answered before, and whose priority is no lower, must come before this one's.
    """
    answered = sorted(turns, key=lambda turn: turn.returned_s)
    latest: dict[int, _Turn] = {}
    position = 0
    for turn in sorted(turns, key=lambda turn: turn.invoked_s):
        while position < len(answered) and answered[position].returned_s < turn.invoked_s:
            before = answered[position]
            known = latest.get(before.priority)
            if known is None or before.claim_seq > known.claim_seq:
                latest[before.priority] = before
            position += 1
        for before in latest.values():
            if before.priority >= turn.priority and turn.claim_seq < before.claim_seq:
                yield (
                    f"job {turn.job_id} of the lock {lock} started before job {before.job_id}, "
                    "which was deferred before it"
                )
                break


def _first_claims(history: History) -> dict[int, int]:
    found: dict[int, int] = {}
    for job_id, changes in changes_of_jobs(history, archive=False).items():
        claims = (change.seq for change in changes if change.after == "doing")
        first = next(claims, None)
        if first is not None:
            found[job_id] = first
    return found


def _overlapping_holds(history: History) -> Iterator[str]:
    locks = locks_of_jobs(history)
    by_lock: dict[str, list[Hold]] = defaultdict(list)
    for hold in holds(history):
        if hold.job_id in locks:
            by_lock[locks[hold.job_id]].append(hold)
    for lock, held in by_lock.items():
        held.sort(key=lambda hold: hold.claim.seq)
        for first, second in pairwise(held):
            if first.end is None or first.end.seq > second.claim.seq:
                yield (
                    f"jobs {first.job_id} and {second.job_id} of the lock {lock} "
                    "were claimed at the same time"
                )


def _overlapping_suspects(history: History) -> Iterator[str]:
    by_worker: dict[int, list[Hold]] = defaultdict(list)
    for hold in holds(history):
        if hold.claim.crashes >= LAST_CHANCE_CRASHES:
            by_worker[hold.worker_id].append(hold)
    for worker_id, held in by_worker.items():
        held.sort(key=lambda hold: hold.claim.seq)
        for first, second in pairwise(held):
            if first.end is None or first.end.seq > second.claim.seq:
                yield (
                    f"jobs {first.job_id} and {second.job_id}, each with its last chance, "
                    f"were claimed together by worker {worker_id}"
                )


def _overlapping_runs(history: History) -> Iterator[str]:
    locks = locks_of_jobs(history)
    groups: dict[str, list[_Interval]] = defaultdict(list)
    for interval in _covered(history):
        lock = locks.get(interval.run.job_id)
        name = f"job {interval.run.job_id}" if lock is None else f"lock {lock}"
        groups[name].append(interval)
    for group, intervals in groups.items():
        intervals.sort(key=lambda interval: (interval.from_s, interval.to_s))
        for first, second in pairwise(intervals):
            if second.from_s < first.to_s:
                yield (
                    f"{group}: job {first.run.job_id} still ran in {first.run.worker}, which was "
                    f"well, when job {second.run.job_id} started in {second.run.worker}"
                )


def _covered(history: History) -> Iterator[_Interval]:
    endings = Endings(history)
    of_job: dict[int, list[Hold]] = defaultdict(list)
    for held in holds(history):
        of_job[held.job_id].append(held)
    for run in history.runs:
        to_s = ended_s(run, history)
        hold = _hold_of(run, of_job[run.job_id], endings)
        valid_until_s = None if hold is None else endings.valid_until_s(hold)
        to_s = min(inf if to_s is None else to_s, inf if valid_until_s is None else valid_until_s)
        if to_s > run.started_s:
            yield _Interval(run, run.started_s, to_s)


def _hold_of(run: Run, held: list[Hold], endings: Endings) -> Hold | None:
    """Find the claim of a run: by its token or, where there are none, by its worker and time."""
    if run.lease_token is not None:
        return next((hold for hold in held if hold.claim.token_after == run.lease_token), None)
    own = [
        hold
        for hold in held
        if endings.owner(hold) == run.worker and hold.claim.s <= run.started_s + CLOCK_SLACK_S
    ]
    return max(own, key=lambda hold: hold.claim.seq, default=None)
