"""Views of a history that several checkers read."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forthwith.verify.history import Call, Change, History, Run, WorkerLife

EVERYBODY = "*"
RESCUER = "rescuer"
"""The application_name of whoever rescues, in systems whose workers do not do it themselves."""
ONCE_TASKS = frozenset({"once", "once_poison"})
"""Given back, without a crash, by a rescue that finds that they had not started."""
CLOCK_SLACK_S = 0.1
"""Between a diary's time and one of the database's, which was converted."""
RECOVERY_S = 5.0
STOP = "stop"
TRANSACTIONAL_TASKS = frozenset({"transfer", "gated_transfer"})
"""They complete their jobs themselves, in transactions of their own."""


class Ending(Enum):
    """How a job left a worker's hands."""

    COMPLETED = "was ended"
    RETRIED = "was sent back to wait, with an attempt used"
    RELEASED = "was given back, with no attempt used"
    RESCUED = "was rescued"
    CLAIMED = "was claimed, without having been given back"


@dataclass(frozen=True, slots=True)
class Hold:
    """A time during which a worker had a job: from its claim until it left the worker's hands."""

    job_id: int
    worker_id: int
    claim: Change
    end: Change | None
    """None: it never left."""
    archived: Change | None = None
    """The entry in history that the same transaction made."""

    @property
    def spent(self) -> int:
        """How many attempts the end has counted."""
        after = self.archived or self.end
        return 0 if after is None else after.attempts - self.claim.attempts

    @property
    def crashed(self) -> int:
        """How many crashes the end has counted."""
        after = self.archived or self.end
        return 0 if after is None else after.crashes - self.claim.crashes


def changes_of_jobs(history: History, *, archive: bool) -> dict[int, list[Change]]:
    """Return the changes of each job in the live table, or in the archive, in their order."""
    changes: dict[int, list[Change]] = defaultdict(list)
    for change in sorted(history.changes, key=lambda change: change.seq):
        if change.is_archive is archive:
            changes[change.job_id].append(change)
    return changes


def holds(history: History) -> list[Hold]:
    """Return who had which job when."""
    archive = changes_of_jobs(history, archive=True)
    found: list[Hold] = []
    for job_id, changes in changes_of_jobs(history, archive=False).items():
        for claim, end in pairwise([*changes, None]):
            if claim is not None and claim.after == "doing" and claim.worker_after is not None:
                archived = None if end is None else entry_of(end, archive[job_id])
                found.append(Hold(job_id, claim.worker_after, claim, end, archived))
    return found


def entry_of(end: Change, archive: list[Change]) -> Change | None:
    """Return what the transaction that took a job from the live table has put into history."""
    if end.after is not None:
        return None
    entries = (entry for entry in archive if entry.after is not None and entry.xid == end.xid)
    return next(entries, None)


def names_of_workers(history: History) -> dict[int, str]:
    """Return the name of the process behind each registration."""
    return {lease.worker_id: lease.name for lease in history.leases}


def defers(history: History) -> list[tuple[int, Call]]:
    """Return which call has made which job: by its id or, where the answer was lost, by its key."""
    ids: dict[str, list[int]] = defaultdict(list)
    for job in history.jobs:
        ids[job.key].append(job.id)
    answered = {call.job_id for call in history.calls if call.action == "defer"}
    found: list[tuple[int, Call]] = []
    for call in history.calls:
        if call.action != "defer":
            continue
        if call.job_id is not None:
            found.append((call.job_id, call))
        elif call.result == "unknown":
            found += [(job_id, call) for job_id in ids[call.key] if job_id not in answered]
    return found


def locks_of_jobs(history: History) -> dict[int, str]:
    """Return the lock of each job that has one."""
    return {job_id: call.lock for job_id, call in defers(history) if call.lock is not None}


class Endings:
    """Says of each hold how it ended, and whether its worker had given cause for that."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._names = names_of_workers(history)
        self._workers: dict[str, list[WorkerLife]] = defaultdict(list)
        for worker in history.workers:
            self._workers[worker.name].append(worker)
        self._once = {job.id for job in history.jobs if job.task in ONCE_TASKS}
        self._once.update(job_id for job_id, call in defers(history) if call.task in ONCE_TASKS)

        self._completing_themselves = {
            job.id for job in history.jobs if job.task in TRANSACTIONAL_TASKS
        }

    def owner(self, hold: Hold) -> str | None:
        """The name of the process that had it."""
        return self._names.get(hold.worker_id)

    def must_not_run_twice(self, job_id: int) -> bool:
        """Whether the job's task says on_crash="fail"."""
        return job_id in self._once

    def is_worker(self, name: str) -> bool:
        """Whether a worker process of the lab has that name."""
        return name in self._workers

    def had_no_time_left(self, name: str, by_s: float) -> bool:
        """Whether that worker process had been asked to stop, and its grace period was over by then."""
        return any(
            ends_s is not None and ends_s <= by_s + CLOCK_SLACK_S
            for worker in self._workers[name]
            for ends_s in (worker.hurried_s, _end_of_grace_s(worker))
        )

    def of(self, hold: Hold) -> Ending | None:
        """How it ended. None: it did not."""
        end = hold.end
        if end is None:
            return None
        if hold.crashed > 0 or end.actor == RESCUER:
            return Ending.RESCUED
        if end.after is None:
            return Ending.COMPLETED
        if end.after == "doing":
            return Ending.CLAIMED
        if hold.spent > 0:
            return Ending.RETRIED
        others = end.actor != self.owner(hold) and self.is_worker(end.actor)
        return Ending.RESCUED if others and hold.job_id in self._once else Ending.RELEASED

    def valid_until_s(self, hold: Hold) -> float | None:
        """Return since when the worker's code, if it still ran, ran without a lease through no fault of
        the queue: a justified rescue, somebody's order by hand, the end of a grace period, or the end
        of the transaction by which it completed its job itself.
        """
        end, owner = hold.end, self.owner(hold)
        if end is None or owner is None:
            return None
        match self.of(hold):
            case Ending.RESCUED:
                return end.s if self.excuses(owner, end.s) else None
            case Ending.COMPLETED if end.actor == owner:
                return end.s if hold.job_id in self._completing_themselves else None
            case Ending.RELEASED if end.actor == owner:
                return end.s if self.had_no_time_left(owner, end.s) else None
            case _:
                return None if self.is_worker(end.actor) else end.s

    def excuses(self, name: str, at_s: float) -> bool:
        """Whether a worker process has an excuse for losing its lease at that time.

        It was frozen, cut off or killed, or has just recovered from that, or it had ended. To be told
        to stop is none, and one that left in good order has left nothing.
        """
        workers = self._workers[name]
        return any(self._had_ended(worker, at_s) for worker in workers) or self._was_harmed(
            name, at_s
        )

    def _was_harmed(self, name: str, at_s: float) -> bool:
        for fault in self._history.faults:
            if not fault.hits or fault.kind == STOP or fault.target not in (name, EVERYBODY):
                continue
            away_s = away(self._history, fault.ended_s, at_s)
            over_s = fault.ended_s + self._history.lease_s + RECOVERY_S + away_s
            if fault.began_s - CLOCK_SLACK_S <= at_s <= over_s:
                return True
        return False

    def _had_ended(self, worker: WorkerLife, at_s: float) -> bool:
        if worker.ended_s is None or worker.ended_s > at_s + CLOCK_SLACK_S:
            return False
        if worker.exit_status != 0:
            return True
        asked_s = worker.asked_to_stop_s or worker.started_s
        return any(
            fault.hits
            and fault.kind != STOP
            and fault.began_s <= worker.ended_s
            and fault.ended_s + RECOVERY_S >= asked_s
            for fault in self._history.faults
        )


def _end_of_grace_s(worker: WorkerLife) -> float | None:
    if worker.asked_to_stop_s is None or worker.grace_s is None:
        return None
    return worker.asked_to_stop_s + worker.grace_s


def away(history: History, from_s: float, to_s: float, *, grace_s: float = RECOVERY_S) -> float:
    """Return how long the database was away between the two, in seconds, `grace_s` after each of its
    starts included: nobody is taken for dead so soon.
    """
    away_s, counted_until_s = 0.0, from_s
    for fault in sorted(history.faults, key=lambda fault: fault.began_s):
        if fault.target == "database":
            began_s = max(fault.began_s, counted_until_s)
            ended_s = min(fault.ended_s + grace_s, to_s)
            away_s += max(0.0, ended_s - began_s)
            counted_until_s = max(counted_until_s, ended_s)
    return away_s


def runs_of_jobs(history: History) -> dict[int, list[Run]]:
    """Return the runs of each job, in the order of their starts."""
    runs: dict[int, list[Run]] = defaultdict(list)
    for run in sorted(history.runs, key=lambda run: run.started_s):
        runs[run.job_id].append(run)
    return runs


def ended_s(run: Run, history: History) -> float | None:
    """When a run ended: as it noted itself, or with its process. None: it still runs."""
    if run.ended_s is not None:
        return run.ended_s
    ends = (w.ended_s for w in history.workers if (w.name, w.pid) == (run.worker, run.pid))
    return next(ends, None)
