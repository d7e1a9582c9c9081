"""I1, I2: no job is lost, and each is final in the end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from forthwith.verify.checkers.timelines import changes_of_jobs, defers, entry_of
from forthwith.verify.history import FINAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.verify.history import Change, History


def lost(history: History) -> Iterator[str]:
    """I1, as a total queue: what was accepted minus what is there must be empty.

    A defer whose answer was lost may have made a job or not, but not two; one that was refused has
    made none. A job leaves the live table in the transaction that puts it into history, unless its
    worker was told to keep no history of it.
    """
    there = {job.id for job in history.jobs}
    forgotten = _forgotten(history)
    for job_id, call in defers(history):
        if call.result == "ok" and job_id not in there and job_id not in forgotten:
            yield f"job {job_id} ({call.key}) was accepted and is nowhere"
    yield from _unasked(history)
    archive = changes_of_jobs(history, archive=True)
    for job_id, changes in changes_of_jobs(history, archive=False).items():
        for change in changes:
            is_gone = change.after is None and entry_of(change, archive[job_id]) is None
            if is_gone and job_id not in forgotten:
                yield f"job {job_id} left the live table in a transaction that put it nowhere"


def unfinished(history: History) -> Iterator[str]:
    """I2: every job is final in the end."""
    for job in history.jobs:
        if job.status not in FINAL:
            yield (
                f"job {job.id} ({job.task}, {job.key}) was still {job.status} "
                f"{history.settle_limit_s:.0f} s after the last fault"
            )


def _unasked(history: History) -> Iterator[str]:
    """Jobs that nobody has asked for, or that somebody was told there would not be."""
    jobs = Counter(job.key for job in history.jobs)
    calls = [call for call in history.calls if call.action == "defer"]
    asked = Counter(call.key for call in calls)
    refused = Counter(call.key for call in calls if call.result == "fail")
    for key, count in jobs.items():
        if count > asked[key]:
            yield f"{count} jobs have the key {key}, which was deferred {asked[key]} times"
        elif count > asked[key] - refused[key]:
            yield f"a defer of the key {key} was refused, and yet there is a job"


def _forgotten(history: History) -> set[int]:
    """Jobs that a worker has ended and, as it was told to, kept no history of."""
    deleting = {worker.name: worker.deletes for worker in history.workers}
    effective = {(run.job_id, run.lease_token) for run in history.runs if run.has_effect}

    def may_forget(change: Change) -> bool:
        match deleting.get(change.actor, "never"):
            case "always":
                return True
            case "successful":
                return (change.job_id, change.token_before) in effective
            case _:
                return False

    return {
        change.job_id
        for change in history.changes
        if not change.is_archive
        and (change.before, change.after) == ("doing", None)
        and may_forget(change)
    }
