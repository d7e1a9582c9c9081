"""I4: effects fit the outcomes, and runs fit the claims and the attempts that were counted."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING

from forthwith.verify.checkers.timelines import (
    TRANSACTIONAL_TASKS,
    Ending,
    Endings,
    changes_of_jobs,
    holds,
    runs_of_jobs,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.verify.checkers.timelines import Hold
    from forthwith.verify.history import Effect, FinalJob, History, Run

CUT_OFF = "CancelledError"


def effects(history: History) -> Iterator[str]:
    """I4. A success has its effect, from the run whose claim it completed; transactional effects exist
    exactly once. A claim has one run at the most, and an attempt is counted if and only if it was run
    to its end, or its worker died.
    """
    runs = runs_of_jobs(history)
    rows: dict[int, list[Effect]] = defaultdict(list)
    for effect in history.effects:
        rows[effect.job_id].append(effect)
    for job in history.jobs:
        yield from _effects_of_job(job, runs[job.id], rows[job.id])
        yield from _attempts_of_job(job, runs[job.id])
    yield from _runs_without_claim(history, runs)
    yield from _uncalled_for(history)
    endings, aborted = Endings(history), _asked_to_abort(history)
    for hold in holds(history):
        is_excused = hold.job_id in aborted or _has_committed(hold, rows[hold.job_id])
        yield from _attempts_of_hold(hold, endings, runs[hold.job_id], is_excused)


def _effects_of_job(job: FinalJob, runs: list[Run], rows: list[Effect]) -> Iterator[str]:
    tokens = {run.lease_token for run in runs if run.has_effect}
    tokens.update(row.lease_token for row in rows)
    if job.status == "succeeded" and not tokens:
        yield f"job {job.id} ({job.task}, {job.key}) succeeded without its effect"
    elif job.status == "succeeded" and None not in tokens and job.lease_token not in tokens:
        yield f"job {job.id} succeeded by a claim (token {job.lease_token}) whose run had no effect"
    if job.task not in TRANSACTIONAL_TASKS:
        return
    if job.status == "succeeded" and len(rows) != 1:
        yield f"job {job.id} ({job.key}) succeeded; its transactional effect exists {len(rows)} times"
    if job.status != "succeeded" and rows:
        yield f"job {job.id} ({job.key}) is {job.status} and has {len(rows)} transactional effects"


def _attempts_of_job(job: FinalJob, runs: list[Run]) -> Iterator[str]:
    ended = job.attempts - job.crashed_attempts
    if len(runs) < ended:
        yield (
            f"job {job.id} has {ended} recorded attempts beside its crashes, "
            f"and was started {len(runs)} times"
        )
    if job.crashes and job.crashes != job.crashed_attempts:
        yield f"job {job.id} has crashed {job.crashes} times, and {job.crashed_attempts} are recorded"


def _runs_without_claim(history: History, runs: dict[int, list[Run]]) -> Iterator[str]:
    claimed: dict[int, set[int]] = defaultdict(set)
    for change in history.changes:
        if change.after == "doing" and change.token_after is not None and not change.is_archive:
            claimed[change.job_id].add(change.token_after)
    for job_id, tokens in claimed.items():
        for token, count in Counter(run.lease_token for run in runs[job_id]).items():
            if count > 1:
                yield f"job {job_id} was run {count} times under one claim (token {token})"
            if token not in tokens:
                yield f"job {job_id} was run under the token {token}, which no claim gave"


def _uncalled_for(history: History) -> Iterator[str]:
    """Attempts that were counted when nobody had the job."""
    for job_id, changes in changes_of_jobs(history, archive=False).items():
        for earlier, later in pairwise(changes):
            if later.attempts > earlier.attempts and earlier.after != "doing":
                yield f"job {job_id}: an attempt was counted while no worker had the job"


def _attempts_of_hold(
    hold: Hold, endings: Endings, runs: list[Run], may_be_cut_off: bool
) -> Iterator[str]:
    end, owner, ending = hold.end, endings.owner(hold), endings.of(hold)
    token = hold.claim.token_after
    if end is None or owner is None or token is None or not endings.is_worker(end.actor):
        return
    run = next((run for run in runs if run.lease_token == token), None)
    if ending is Ending.RESCUED:
        if (hold.spent, hold.crashed) not in ((1, 1), (0, 0)):
            yield (
                f"job {hold.job_id} (token {token}): its rescue counted {hold.spent} attempts and "
                f"{hold.crashed} crashes"
            )
    elif hold.spent > 1 or (hold.spent == 1 and run is None):
        yield (
            f"job {hold.job_id} (token {token}): {hold.spent} attempts were counted, "
            f"and it had {'no run' if run is None else 'one run'}"
        )
    elif hold.spent == 1 and run is not None and run.error == CUT_OFF and not may_be_cut_off:
        if not endings.must_not_run_twice(hold.job_id):
            yield (
                f"job {hold.job_id} (token {token}): an attempt was counted for a run that {owner} "
                "cut off"
            )
    elif (
        hold.spent == 0
        and run is not None
        and (end.after is not None or hold.archived is not None)
        and not endings.had_no_time_left(owner, end.s)
    ):
        yield f"job {hold.job_id} (token {token}) {_said(ending)}, though {owner} had run it"


def _has_committed(hold: Hold, rows: list[Effect]) -> bool:
    """Whether that claim's run had committed its completion: it only waited for the answer."""
    return any(row.lease_token == hold.claim.token_after for row in rows)


def _asked_to_abort(history: History) -> set[int]:
    return {call.job_id for call in history.calls if call.action == "cancel" and call.job_id}


def _said(ending: Ending | None) -> str:
    return "" if ending is None else ending.value
