"""I1, I2, I4, I5: what becomes of each job."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from forthwith.verify.checkers.timelines import changes_of_jobs, holds, names_of_workers
from forthwith.verify.history import FINAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.verify.history import Change, FinalJob, History, Run

TRANSACTIONAL_TASK = "transfer"


def lost(history: History) -> Iterator[str]:
    """I1, as a total queue: what was accepted minus what is there must be empty.

    A defer whose answer was lost may have made a job or not, but not two. A job leaves the live
    table in the transaction that puts it into history.
    """
    there = {job.id: job for job in history.jobs}
    for call in history.calls:
        if call.action == "defer" and call.result == "ok" and call.job_id not in there:
            yield f"job {call.job_id} ({call.key}) was accepted and is nowhere"
    keys = Counter(job.key for job in history.jobs)
    calls = Counter(call.key for call in history.calls if call.action == "defer")
    for key, count in keys.items():
        if count > calls[key]:
            yield f"{count} jobs have the key {key}, which was deferred {calls[key]} times"
    refused = {call.key for call in history.calls if call.result == "fail"}
    accepted = {call.key for call in history.calls if call.result != "fail"}
    for key in refused - accepted:
        if keys[key]:
            yield f"a defer of the key {key} was refused, and yet there is a job"
    archived = changes_of_jobs(history, archive=True)
    for job_id, changes in changes_of_jobs(history, archive=False).items():
        for change in changes:
            if change.after is None and not _is_archived(change, archived[job_id]):
                yield f"job {job_id} left the live table in a transaction that put it nowhere"


def unfinished(history: History) -> Iterator[str]:
    """I2: every job is final in the end."""
    for job in history.jobs:
        if job.status not in FINAL:
            yield (
                f"job {job.id} ({job.task}, {job.key}) was still {job.status} "
                f"{history.settle_limit_s:.0f} s after the last fault"
            )


def effects(history: History) -> Iterator[str]:
    """I4: effects fit the outcomes, and runs fit the claims and the recorded attempts.

    A crashed attempt need not have started: a worker that died may have claimed the job and not
    begun it. All others have a run each.
    """
    runs: dict[int, list[Run]] = defaultdict(list)
    for run in history.runs:
        runs[run.job_id].append(run)
    rows = Counter(effect.job_id for effect in history.effects)
    claims = _claimed_tokens(history)
    for job in history.jobs:
        yield from _effects_of_job(job, runs[job.id], rows[job.id])
        yield from _runs_of_job(job, runs[job.id], claims.get(job.id))


def completions(history: History) -> Iterator[str]:
    """I5, by replaying each job's changes with the lease token as a register.

    Each claim raises the token. What a worker records of a job must come from the worker whose
    claim is the newest; only a rescue, which counts a crash or gives back, may come from another.
    """
    names = names_of_workers(history)
    archived = changes_of_jobs(history, archive=True)
    for job_id, changes in changes_of_jobs(history, archive=False).items():
        entries = [change for change in archived[job_id] if change.after is not None]
        departures = [change for change in archived[job_id] if change.after is None]
        if len(entries) > 1 + len(departures):
            yield f"job {job_id} was completed {len(entries)} times"
        yield from _replay(job_id, changes)
        for entry in entries:
            newest = _newest_token(changes, before_seq=entry.seq)
            if newest is not None and entry.token_after is not None and entry.token_after < newest:
                yield (
                    f"job {job_id} was completed with token {entry.token_after}, "
                    f"though its newest is {newest}"
                )
    for hold in holds(history):
        end = hold.end
        owner = names.get(hold.worker_id)
        if end is None or owner is None or end.actor == owner or not _is_worker(end.actor, history):
            continue
        ending = _archive_entry(end, archived[hold.job_id])
        if not _is_rescue(end, ending):
            yield (
                f"job {hold.job_id} was claimed by {owner} (token {hold.claim.token_after}), and "
                f"{end.actor} recorded its outcome"
            )


def _effects_of_job(job: FinalJob, runs: list[Run], rows: int) -> Iterator[str]:
    if job.status == "succeeded" and not any(run.has_effect for run in runs) and not rows:
        yield f"job {job.id} ({job.task}, {job.key}) succeeded without its effect"
    if job.task != TRANSACTIONAL_TASK:
        return
    if job.status == "succeeded" and rows != 1:
        yield f"job {job.id} ({job.key}) succeeded and its transactional effect exists {rows} times"
    if job.status != "succeeded" and rows:
        yield f"job {job.id} ({job.key}) is {job.status} and has {rows} transactional effects"


def _runs_of_job(job: FinalJob, runs: list[Run], claimed: set[int] | None) -> Iterator[str]:
    if claimed is not None:
        for token, count in Counter(run.lease_token for run in runs).items():
            if count > 1:
                yield f"job {job.id} was run {count} times under one claim (token {token})"
            if token not in claimed:
                yield f"job {job.id} was run under the token {token}, which no claim gave"
    ended = job.attempts - job.crashed_attempts
    if len(runs) < ended:
        yield (
            f"job {job.id} has {ended} recorded attempts beside its crashes, "
            f"and was started {len(runs)} times"
        )


def _replay(job_id: int, changes: list[Change]) -> Iterator[str]:
    token = -1
    for change in changes:
        if change.token_before is not None and token >= 0 and change.token_before != token:
            yield f"job {job_id}: a change starts from token {change.token_before}, not {token}"
        if change.after == "doing":
            if change.before == "doing":
                yield f"job {job_id} was claimed while it was claimed already"
            if change.token_after is not None and change.token_after <= token:
                yield f"job {job_id}: a claim did not raise the token {token}"
        if change.token_after is not None:
            token = change.token_after
        elif change.token_before is not None:
            token = change.token_before


def _claimed_tokens(history: History) -> dict[int, set[int]]:
    tokens: dict[int, set[int]] = defaultdict(set)
    for change in history.changes:
        if change.after == "doing" and change.token_after is not None and not change.is_archive:
            tokens[change.job_id].add(change.token_after)
    return tokens


def _newest_token(changes: list[Change], *, before_seq: int) -> int | None:
    tokens = [
        change.token_after
        for change in changes
        if change.seq < before_seq and change.token_after is not None
    ]
    return max(tokens, default=None)


def _is_archived(change: Change, entries: list[Change]) -> bool:
    return any(entry.xid == change.xid and entry.after is not None for entry in entries)


def _archive_entry(end: Change, entries: list[Change]) -> Change | None:
    if end.after is not None:
        return None
    return next((entry for entry in entries if entry.xid == end.xid and entry.after), None)


def _is_worker(actor: str, history: History) -> bool:
    return any(worker.name == actor for worker in history.workers)


def _is_rescue(end: Change, ending: Change | None) -> bool:
    after = ending or end
    counted = after.crashes > end.crashes if ending else False
    return counted or end.after == "todo"
