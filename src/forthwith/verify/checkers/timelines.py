"""Views of a history that several checkers read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forthwith.verify.history import Change, Fault, History

EVERYBODY = "*"


@dataclass(frozen=True, slots=True)
class Hold:
    """A time during which a worker had a job: from its claim until it left the worker's hands."""

    job_id: int
    worker_id: int
    claim: Change
    end: Change | None
    """None: it never left."""


def changes_of_jobs(history: History, *, archive: bool) -> dict[int, list[Change]]:
    """Return the changes of each job in the live table, or in the archive, in their order."""
    changes: dict[int, list[Change]] = defaultdict(list)
    for change in sorted(history.changes, key=lambda change: change.seq):
        if change.is_archive is archive:
            changes[change.job_id].append(change)
    return changes


def holds(history: History) -> list[Hold]:
    """Return who had which job when."""
    found: list[Hold] = []
    for job_id, changes in changes_of_jobs(history, archive=False).items():
        for change, following in pairwise([*changes, None]):
            if change is not None and change.after == "doing" and change.worker_after is not None:
                found.append(Hold(job_id, change.worker_after, change, following))
    return found


def names_of_workers(history: History) -> dict[int, str]:
    """Return the name of the process behind each registration."""
    return {lease.worker_id: lease.name for lease in history.leases}


def locks_of_jobs(history: History) -> dict[int, str]:
    """Return the lock of each job that has one and whose defer was answered."""
    return {
        call.job_id: call.lock
        for call in history.calls
        if call.action == "defer" and call.job_id is not None and call.lock is not None
    }


def harmed_s(history: History) -> dict[str, float]:
    """Return since when each worker process has an excuse for losing its lease.

    The first fault that was done to it, or its end.
    """
    times: dict[str, list[float]] = defaultdict(list)
    for fault in history.faults:
        if fault.hits and fault.target != "database":
            for name in _targets(fault, history):
                times[name].append(fault.began_s)
    for worker in history.workers:
        if worker.ended_s is not None:
            times[worker.name].append(worker.ended_s)
    return {name: min(values) for name, values in times.items()}


def _targets(fault: Fault, history: History) -> list[str]:
    if fault.target == EVERYBODY:
        return [worker.name for worker in history.workers]
    return [fault.target]
