"""I6, I7: locks keep jobs apart, and in order."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from math import inf
from typing import TYPE_CHECKING

from forthwith.verify.checkers.timelines import (
    changes_of_jobs,
    harmed_s,
    holds,
    locks_of_jobs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.verify.checkers.timelines import Hold
    from forthwith.verify.history import Call, History, Run


def overlaps(history: History) -> Iterator[str]:
    """I6: by the database's own record, and by what the tasks noted.

    The code of a worker that was frozen, cut off or killed may still run, or be thought to, when
    its job runs again: that worker's lease is not valid any more. A healthy worker has no excuse.
    """
    yield from _overlapping_holds(history)
    yield from _overlapping_runs(history)


def disorder(history: History) -> Iterator[str]:
    """I7: of two jobs of one lock and priority, the one deferred first is claimed first.

    "First" is real time: its defer was answered before the other one was asked for. Jobs that are
    scheduled for later, and those cancelled before their turn, are left out.
    """
    first_claims: dict[int, int] = {}
    for job_id, changes in changes_of_jobs(history, archive=False).items():
        claims = [change.seq for change in changes if change.after == "doing"]
        if claims:
            first_claims[job_id] = claims[0]
    lines: dict[tuple[str, int], list[Call]] = defaultdict(list)
    for call in history.calls:
        if (
            call.action == "defer"
            and call.result == "ok"
            and call.lock is not None
            and not call.is_scheduled
            and call.job_id in first_claims
        ):
            lines[call.lock, call.priority].append(call)
    for (lock, _), calls in lines.items():
        # Going through the calls by the time at which they were asked for, the latest claim among
        # those answered before must be earlier than this one's.
        answered = sorted(calls, key=lambda call: call.returned_s)
        position, latest, latest_call = 0, -1, None
        for call in sorted(calls, key=lambda call: call.invoked_s):
            while position < len(answered) and answered[position].returned_s < call.invoked_s:
                claim = first_claims[_id(answered[position])]
                if claim > latest:
                    latest, latest_call = claim, answered[position]
                position += 1
            if latest_call is not None and first_claims[_id(call)] < latest:
                yield (
                    f"job {call.job_id} of the lock {lock} started before job {latest_call.job_id}, "
                    "which was deferred before it"
                )


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


def _overlapping_runs(history: History) -> Iterator[str]:
    locks = locks_of_jobs(history)
    harmed = harmed_s(history)
    ends = {(w.name, w.pid): w.ended_s for w in history.workers if w.ended_s is not None}
    groups: dict[str, list[Run]] = defaultdict(list)
    for run in history.runs:
        lock = locks.get(run.job_id)
        groups[f"lock {lock}" if lock is not None else f"job {run.job_id}"].append(run)
    for group, runs in groups.items():
        runs.sort(key=lambda run: run.started_s)
        for first, second in pairwise(runs):
            ended_s = first.ended_s or ends.get((first.worker, first.pid), inf)
            excused = any(
                harmed.get(run.worker, inf) <= second.started_s for run in (first, second)
            )
            if second.started_s < ended_s and not excused:
                yield (
                    f"{group}: job {first.job_id} still ran in {first.worker}, which was well, "
                    f"when job {second.job_id} started in {second.worker}"
                )


def _id(call: Call) -> int:
    assert call.job_id is not None, "only answered calls are looked at"
    return call.job_id
