"""`forthwith jobs`: a list of jobs, or one of them in detail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from forthwith.cli.documents import attempt_document, job_document
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import CommandFailed
from forthwith.cli.output import (
    Column,
    compact_json,
    print_block,
    print_fields,
    print_json,
    print_table,
)
from forthwith.cli.parameters import JOB_ID
from forthwith.cli.session import any_app, in_open_app

if TYPE_CHECKING:
    from datetime import datetime

    from forthwith import App
    from forthwith.job import FailedAttempt, JobDetails

_STATUSES = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted")
_COLUMNS = (
    Column("id", number=True),
    Column("status"),
    Column("queue", wide=True),
    Column("task", wide=True),
    Column("arguments", wide=True),
    Column("attempts", number=True),
    Column("since (UTC)"),
)


class _Filter(NamedTuple):
    """Which jobs to list; None leaves out a condition."""

    status: str | None
    queue: str | None
    task: str | None
    lock: str | None
    before: int | None
    limit: int


class _JobInDetail(NamedTuple):
    job: JobDetails
    failed_attempts: list[FailedAttempt]


@click.command()
@click.argument("job_id", metavar="[ID]", required=False, type=JOB_ID)
@click.option("--status", type=click.Choice(_STATUSES), help="Only jobs of this status.")
@click.option("--queue", metavar="NAME", help="Only jobs of this queue.")
@click.option("--task", metavar="NAME", help="Only jobs of this task.")
@click.option("--lock", metavar="LOCK", help="Only jobs with this lock.")
@click.option("--before", metavar="ID", type=JOB_ID, help="Only jobs with a smaller id.")
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Show so many at the most.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(job_id: int | None, *, as_json: bool, **conditions: Any) -> None:
    """Show jobs, newest first; with an ID that job, its failed attempts and their tracebacks.

    Exits with 6 if there is no job with this ID.
    """
    if job_id is None:
        _list(_Filter(**conditions), as_json=as_json)
    else:
        _refuse_conditions(conditions)
        _show(job_id, as_json=as_json)


def _list(wanted: _Filter, *, as_json: bool) -> None:
    async def page(app: App) -> list[JobDetails]:
        # One more than asked for tells whether there are more.
        return await app.job_manager.list_jobs_page_async(
            limit=wanted.limit + 1,
            before_id=wanted.before,
            queue=wanted.queue,
            task=wanted.task,
            status=wanted.status,
            lock=wanted.lock,
        )

    found = in_open_app(any_app(), page)
    shown = found[: wanted.limit]
    next_before = shown[-1].id if len(found) > len(shown) else None
    if as_json:
        print_json({"jobs": [job_document(job) for job in shown], "next_before": next_before})
        return
    print_table(_COLUMNS, map(_row, shown), "No jobs.")
    if next_before is not None:
        click.echo(f"There are more: --before {next_before} shows the next.", err=True)


def _show(job_id: int, *, as_json: bool) -> None:
    async def details(app: App) -> _JobInDetail:
        job = await app.job_manager.get_job_async(job_id)
        if job is None:
            raise CommandFailed(ExitCode.JOB_NOT_FOUND, f"there is no job {job_id}")
        return _JobInDetail(job, await app.job_manager.list_attempts_async(job_id))

    found = in_open_app(any_app(), details)
    if as_json:
        attempts = [attempt_document(attempt) for attempt in found.failed_attempts]
        print_json({**job_document(found.job), "failed_attempts": attempts})
    else:
        _print_details(found)


def _refuse_conditions(conditions: dict[str, Any]) -> None:
    given = [name for name, value in conditions.items() if value is not None and name != "limit"]
    if given:
        raise click.UsageError(f"an ID and --{given[0]} exclude each other")


def _row(job: JobDetails) -> tuple[object, ...]:
    return (
        job.id,
        job.status,
        job.queue,
        job.task_name,
        compact_json(job.task_kwargs),
        job.attempts,
        job.finished_at or _since(job),
    )


def _since(job: JobDetails) -> datetime | None:
    """Return since when a job that has not ended runs, or when it is or was due."""
    if job.status == "doing":
        return job.started_at
    return job.scheduled_at or job.deferred_at


def _print_details(found: _JobInDetail) -> None:
    job = found.job
    print_fields(
        [
            ("job", job.id),
            ("status", job.status),
            ("queue", job.queue),
            ("task", job.task_name),
            ("arguments", compact_json(job.task_kwargs)),
            ("priority", job.priority),
            ("lock", job.lock),
            ("queueing lock", job.queueing_lock),
            ("attempts", job.attempts),
            ("crashes", job.crashes),
            ("worker", job.worker_id),
            ("abort requested", job.abort_requested),
            ("deferred (UTC)", job.deferred_at),
            ("scheduled (UTC)", job.scheduled_at),
            ("started (UTC)", job.started_at),
            ("finished (UTC)", job.finished_at),
        ]
    )
    for attempt in found.failed_attempts:
        _print_attempt(attempt)


def _print_attempt(attempt: FailedAttempt) -> None:
    error = ": ".join(part for part in (attempt.exception_type, attempt.message) if part)
    click.echo()
    print_fields(
        [
            (f"attempt {attempt.attempt}", attempt.kind),
            ("at (UTC)", attempt.at),
            ("worker", attempt.worker_id),
            ("error", error or None),
        ]
    )
    if attempt.traceback:
        print_block(attempt.traceback)
