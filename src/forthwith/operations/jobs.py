"""Reads jobs: a page of them, or one with all that is known of it."""

from __future__ import annotations

import json
import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from forthwith.job import FailedAttempt
from forthwith.operations.job_summary import JobPage, JobSummary
from forthwith.operations.job_view import JobView, Progress, Result
from forthwith.operations.places import states_of
from forthwith.operations.search import search
from forthwith.operations.timeline import timeline
from forthwith.operations.waits import Surroundings, waits_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forthwith.operations.job_filter import JobFilter
    from forthwith.operations.search import Search
    from forthwith.operations.worker_state import WorkerState
    from forthwith.store.operator_queries import OperatorQueries, Row, Transaction

ROWS_MAX = 50_000
TIME_MAX_S = 0.09
_SUMMARY = tuple(field.name for field in fields(JobSummary))


async def job_page(
    queries: OperatorQueries,
    filter: JobFilter,  # noqa: A002
    *,
    limit: int,
    below_id: int,
) -> JobPage:
    """Look for up to `limit` jobs below an id, for no longer than a page may take."""
    give_up_s = time.monotonic() + TIME_MAX_S
    async with queries.question() as question:
        looking = await search(question, filter, states_of(filter.status), below_id=below_id)
        found = await looking.look_for(question, limit + 1, rows_max=ROWS_MAX, give_up_s=give_up_s)
        jobs = await summaries(question, [key.id for key in found[:limit]])
    return _page(jobs, looking, is_full=len(found) > limit)


def _page(jobs: list[JobSummary], looking: Search, *, is_full: bool) -> JobPage:
    if is_full:
        return JobPage(jobs, str(jobs[-1].id), jobs[-1].deferred_at, is_complete=True)
    return JobPage(
        jobs,
        None if looking.is_over else str(looking.floor),
        looking.floor_at,
        is_complete=looking.is_over,
    )


async def summaries(question: Transaction, ids: Sequence[int]) -> list[JobSummary]:
    """Return these jobs, as far as they are there, newest first."""
    if not ids:
        return []
    return [_summary(row) for row in await question.rows("op_summaries", ids=list(ids))]


async def job_view(
    queries: OperatorQueries, job_id: int, workers: Sequence[WorkerState]
) -> JobView | None:
    """Return all that is known of a job."""
    async with queries.question() as question:
        rows = await question.rows("op_job", id=job_id)
        if not rows:
            return None
        attempts = await question.rows("list_attempts", job_id=job_id)
        around = await question.rows("op_waits", id=job_id)
        now = (await question.row("op_now"))["now"]
    row, job = rows[0], _summary(rows[0])
    failed = [FailedAttempt(**attempt) for attempt in attempts]
    return JobView(
        job=job,
        args=decoded(row["args"]),
        crashes_max=row["crashes_max"],
        attempts=failed,
        timeline=timeline(job, failed, now=now),
        waits_for=waits_for(job, Surroundings(**around[0]), workers) if around else [],
        behind_id=around[0]["holder_id"] if around and job.status == "todo" else None,
        progress=_progress(row),
        result=_result(row),
        traceparent=row["traceparent"],
    )


def _summary(row: Row) -> JobSummary:
    args = row["args"] if row["args_bytes"] <= ARGS_BYTES_MAX else None
    named = {name: row[name] for name in _SUMMARY}
    return JobSummary(**{**named, "args": None if args is None else decoded(args)})


ARGS_BYTES_MAX = 4000


def _progress(row: Row) -> Progress | None:
    if row["progress_at"] is None or row["status"] != "doing":
        return None
    return Progress(
        row["progress_at"], row["progress_done"], row["progress_total"], row["progress_note"]
    )


def _result(row: Row) -> Result | None:
    if row["result_value"] is None:
        return None
    return Result(decoded(row["result_value"]), row["result_expires_at"])


def decoded(text: str) -> Any:
    """Decode JSON. What Python can't decode, and no defer of ours writes, must not hide the rest."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return {"unreadable": str(error)}
