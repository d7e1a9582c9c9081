"""`forthwith jobs`: a list of jobs, or one of them in detail."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from forthwith.cli.columns import Column
from forthwith.cli.completion import complete_queue, complete_task
from forthwith.cli.discretion import discreet, show_arguments_option
from forthwith.cli.documents import listed_job_document
from forthwith.cli.job_details import show_job
from forthwith.cli.output import as_text, compact_json, print_json, print_table
from forthwith.cli.parameters import JOB_ID
from forthwith.cli.session import any_app, in_open_app
from forthwith.cli.where import KEYS, job_filter

if TYPE_CHECKING:
    from datetime import datetime

    from forthwith import App
    from forthwith.operations import Desk, JobFilter, JobSummary

STATES = (
    *("todo", "ready", "scheduled", "blocked", "doing", "running"),
    *("succeeded", "failed", "cancelled", "aborted"),
)
_COLUMNS = (
    Column("id", number=True),
    Column("state"),
    Column("queue", wide=True),
    Column("task", wide=True),
    Column("arguments", wide=True),
    Column("attempts", number=True),
    Column("since (UTC)"),
)
_PAGE = 1000
LOOK_S = 10.0
"""How long to look for jobs that few conditions single out, before saying how far it came."""


class _Listing(NamedTuple):
    """Jobs with all of their arguments, and how far back was looked for them."""

    jobs: list[tuple[JobSummary, dict[str, Any] | None]]
    next_before: int | None
    """Below which id there may be more."""
    gave_up_at: datetime | None
    """Deferral of the oldest job that was looked at, if time was up."""


@click.command(epilog="Example: forthwith jobs --state failed --queue mail --ended 1h")
@click.argument("job_id", metavar="[ID]", required=False, type=JOB_ID)
@click.option(
    *("--state", "--status", "state"),
    type=click.Choice(STATES),
    help="Only jobs of this status; todo ones are ready, scheduled or blocked.",
)
@click.option(
    "--queue", metavar="NAME", help="Only jobs of this queue.", shell_complete=complete_queue
)
@click.option(
    "--task", metavar="NAME", help="Only jobs of this task.", shell_complete=complete_task
)
@click.option("--lock", metavar="LOCK", help="Only jobs with this lock.")
@click.option("--worker", metavar="ID", help="Only jobs that this worker runs or ran last.")
@click.option("--since", metavar="TIME", help="Only jobs deferred since: 15m, 2h, 7d, or ISO 8601.")
@click.option("--until", metavar="TIME", help="Only jobs deferred before that.")
@click.option(
    "--ended", metavar="TIME", help="Only jobs that ended since, whenever they were deferred."
)
@click.option("--text", metavar="TEXT", help="Only jobs whose arguments, as JSON, contain this.")
@click.option(
    "--error", metavar="TYPE", help="Only jobs with an attempt that failed with this type."
)
@click.option(
    *("--before", "--cursor", "before"),
    metavar="ID",
    type=JOB_ID,
    help="Only jobs with a smaller id: the next page.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Show so many at the most.",
)
@show_arguments_option
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(
    job_id: int | None,
    *,
    before: int | None,
    limit: int,
    show_arguments: bool,
    as_json: bool,
    **conditions: str | None,
) -> None:
    """Show jobs, newest first; with an ID that job, its failed attempts and their tracebacks.

    Exits with 6 if there is no job with this ID.
    """
    given = {key: text for key in KEYS if (text := conditions[key]) is not None}
    if job_id is not None:
        _refuse([*given, *(["before"] if before is not None else [])])
        show_job(job_id, show_arguments=show_arguments, as_json=as_json)
        return
    found = _listing(_filter(given), limit, before)
    if as_json:
        jobs = [
            listed_job_document(job, discreet(args, show=show_arguments))
            for job, args in found.jobs
        ]
        print_json({"jobs": jobs, "next_before": found.next_before})
    else:
        _print(found, show_arguments=show_arguments)


def _filter(given: dict[str, str]) -> JobFilter:
    try:
        return job_filter(given)
    except click.BadParameter as error:
        raise click.UsageError(f"Invalid value: --{error.message}") from None


def _refuse(given: list[str]) -> None:
    if given:
        raise click.UsageError(f"an ID and --{given[0]} exclude each other")


def _listing(wanted: JobFilter, limit: int, before: int | None) -> _Listing:
    async def ask(app: App) -> _Listing:
        from forthwith.operations import Desk

        async with Desk(app) as desk:
            jobs, cursor, gave_up_at = await _look(desk, wanted, limit, before)
        return _Listing(
            [(job, await _arguments(app, job)) for job in jobs],
            None if cursor is None else int(cursor),
            gave_up_at,
        )

    return in_open_app(any_app(), ask)


async def _look(
    desk: Desk, wanted: JobFilter, limit: int, before: int | None
) -> tuple[list[JobSummary], str | None, datetime | None]:
    """Return up to `limit` jobs, the cursor behind them, and how far back it looked if time was up."""
    jobs: list[JobSummary] = []
    cursor = None if before is None else str(before)
    give_up_s = time.monotonic() + LOOK_S
    while True:
        page = await desk.jobs(wanted, limit=min(_PAGE, limit - len(jobs)), after=cursor)
        jobs += page.jobs
        cursor = page.next_cursor
        if cursor is None or len(jobs) == limit:
            return jobs, cursor, None
        if time.monotonic() >= give_up_s:
            return jobs, cursor, page.looked_back_to


async def _arguments(app: App, job: JobSummary) -> dict[str, Any] | None:
    """Return all of a job's arguments: the desk leaves long ones out. None if it is gone by now."""
    if job.args is not None:
        return job.args
    details = await app.job_manager.get_job_async(job.id)
    return None if details is None else details.task_kwargs


def _print(found: _Listing, *, show_arguments: bool) -> None:
    rows = (_row(job, discreet(args, show=show_arguments)) for job, args in found.jobs)
    print_table(_COLUMNS, rows, "No jobs.")
    if found.gave_up_at is not None:
        told = f"Looked back to {as_text(found.gave_up_at)} UTC: --before {found.next_before} looks on."
        click.echo(told, err=True)
    elif found.next_before is not None:
        click.echo(f"There are more: --before {found.next_before} shows the next.", err=True)


def _row(job: JobSummary, arguments: dict[str, Any] | None) -> tuple[object, ...]:
    return (
        job.id,
        job.state,
        job.queue,
        job.task,
        compact_json(arguments),
        job.attempts,
        job.finished_at or _since(job),
    )


def _since(job: JobSummary) -> datetime | None:
    """Return since when a job that has not ended runs, or when it is or was due."""
    if job.status == "doing":
        return job.started_at
    return job.scheduled_at or job.deferred_at
