"""I5: each job is completed once, by the claim that is its newest."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from forthwith.verify.checkers.timelines import (
    CLOCK_SLACK_S,
    TRANSACTIONAL_TASKS,
    Ending,
    Endings,
    changes_of_jobs,
    entry_of,
    holds,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.verify.checkers.timelines import Hold
    from forthwith.verify.history import Change, History, Run

RECORDS = frozenset({Ending.COMPLETED, Ending.RETRIED, Ending.RELEASED})


def completions(history: History) -> Iterator[str]:
    """I5, by replaying each job's changes with the lease token as a register.

    Each claim and each giving back raises the token. What is recorded of a claim must come from the
    worker that has it (a rescue, which counts a crash, is no record), and from the run of that claim: by
    then it must have ended, in that way. A worker that has lost a job and claimed it again has both
    claims under one name.
    """
    archive = changes_of_jobs(history, archive=True)
    for job_id, count in Counter(job.id for job in history.jobs).items():
        if count > 1:
            yield f"job {job_id} is there {count} times"
    for job_id, changes in changes_of_jobs(history, archive=False).items():
        yield from _replay(job_id, changes)
        yield from _entries(job_id, changes, archive[job_id])
    runs = {(run.job_id, run.lease_token): run for run in history.runs}
    endings = Endings(history)
    for job_id, changes in changes_of_jobs(history, archive=False).items():
        yield from _unheld(job_id, changes, archive[job_id], endings)
    for hold in holds(history):
        yield from _foreign(hold, endings)
        yield from _of_another_run(hold, endings, runs)


def _replay(job_id: int, changes: list[Change]) -> Iterator[str]:
    token = -1
    for change in changes:
        if change.token_before is not None and token >= 0 and change.token_before != token:
            yield f"job {job_id}: a change starts from token {change.token_before}, not {token}"
        if change.after == "doing" and change.before == "doing":
            yield f"job {job_id} was claimed while it was claimed already"
        raises = change.after == "doing" or (change.before, change.after) == ("doing", "todo")
        if raises and change.token_after is not None and change.token_after <= token:
            yield f"job {job_id}: {_did(change)} did not raise the token {token}"
        if change.token_after is not None:
            token = change.token_after
        elif change.token_before is not None:
            token = change.token_before


def _entries(job_id: int, changes: list[Change], archive: list[Change]) -> Iterator[str]:
    entries = [change for change in archive if change.after is not None]
    departures = [change for change in archive if change.after is None]
    if len(entries) > 1 + len(departures):
        yield f"job {job_id} was completed {len(entries)} times"
    for entry in entries:
        newest = max(
            (c.token_after for c in changes if c.seq < entry.seq and c.token_after is not None),
            default=None,
        )
        if newest is not None and entry.token_after is not None and entry.token_after != newest:
            yield (
                f"job {job_id} was completed with token {entry.token_after}, "
                f"though its newest is {newest}"
            )


def _unheld(
    job_id: int, changes: list[Change], archive: list[Change], endings: Endings
) -> Iterator[str]:
    """What a worker recorded of a job that had been taken from it, and that nobody had claimed since."""
    for change in changes:
        entry = entry_of(change, archive)
        if change.before == "todo" and entry is not None and endings.is_worker(change.actor):
            yield f"job {job_id} was {entry.after} by {change.actor}, and no worker had claimed it"


def _foreign(hold: Hold, endings: Endings) -> Iterator[str]:
    """What a worker recorded of another one's claim."""
    end, owner = hold.end, endings.owner(hold)
    if end is None or owner is None or end.actor == owner or not endings.is_worker(end.actor):
        return
    if endings.of(hold) in RECORDS:
        yield (
            f"job {hold.job_id} was claimed by {owner} (token {hold.claim.token_after}), and "
            f"{end.actor} recorded its outcome"
        )


def _of_another_run(
    hold: Hold, endings: Endings, runs: dict[tuple[int, int | None], Run]
) -> Iterator[str]:
    """What was recorded of a claim before its run had ended, or does not fit it: it came from another.

    A transactional task is completed within its run, and an abort may give up a run that goes on.
    """
    end, token = hold.end, hold.claim.token_after
    if end is None or token is None or not endings.is_worker(end.actor):
        return
    ending, status = endings.of(hold), hold.archived.after if hold.archived else None
    if not (ending is Ending.RETRIED or status in ("succeeded", "failed")):
        return
    if ending is Ending.RESCUED:
        return
    run = runs.get((hold.job_id, token))
    if run is None or run.started_s > end.s + CLOCK_SLACK_S:
        yield f"job {hold.job_id} {_value(ending)} before its claim (token {token}) had run"
    elif run.task in TRANSACTIONAL_TASKS and ending is Ending.COMPLETED:
        return
    elif status != "succeeded" and run.ended_s is not None and run.error is None:
        yield f"job {hold.job_id} {_value(ending)}, though its claim's run (token {token}) went well"
    elif status == "succeeded" and run.error is not None:
        yield f"job {hold.job_id} succeeded, though its claim's run (token {token}) failed"
    elif run.ended_s is None or run.ended_s > end.s + CLOCK_SLACK_S:
        yield f"job {hold.job_id} {_value(ending)} while its claim (token {token}) still ran"


def _did(change: Change) -> str:
    return "a claim" if change.after == "doing" else "giving it back"


def _value(ending: Ending | None) -> str:
    return "" if ending is None else ending.value
