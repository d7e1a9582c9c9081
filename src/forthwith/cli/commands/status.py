"""`forthwith status`: the database, the workers and the jobs at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from forthwith.cli.columns import Column
from forthwith.cli.database_report import DatabaseReport, oldest_waiting_job, report_database
from forthwith.cli.documents import job_document, worker_document
from forthwith.cli.output import as_age, print_fields, print_json, print_table
from forthwith.cli.session import any_app, in_open_app

if TYPE_CHECKING:
    from datetime import datetime

    from forthwith import App
    from forthwith.job import JobDetails, WorkerDetails

_COLUMNS = (
    Column("worker", number=True),
    Column("name", wide=True),
    Column("host", wide=True),
    Column("pid", number=True),
    Column("queues", wide=True),
    Column("concurrency", number=True),
    Column("last seen"),
    Column("lease"),
)


class _Status(NamedTuple):
    database: DatabaseReport
    counts: dict[str, int]
    workers: list[WorkerDetails]
    oldest_waiting: JobDetails | None


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(*, as_json: bool) -> None:
    """Show the database, the number of jobs, the workers, and the oldest job that waits."""
    status = in_open_app(any_app(), _status)
    if as_json:
        print_json(_document(status))
    else:
        _print(status)


async def _status(app: App) -> _Status:
    return _Status(
        await report_database(app),
        await app.job_manager.count_jobs_async(),
        await app.job_manager.list_workers_async(),
        await oldest_waiting_job(app),
    )


def _document(status: _Status) -> dict[str, Any]:
    oldest = status.oldest_waiting
    return {
        "database": _database_document(status.database),
        "jobs": status.counts,
        "workers": [worker_document(worker) for worker in status.workers],
        "oldest_waiting_job": job_document(oldest) if oldest else None,
    }


def _database_document(database: DatabaseReport) -> dict[str, Any]:
    return {key: value for key, value in database._asdict().items() if key != "time"}


def _print(status: _Status) -> None:
    now = status.database.time
    fields: list[tuple[str, object]] = [
        ("database", status.database.url),
        ("server", _server(status.database)),
        ("schema", status.database.schema_version),
        *status.counts.items(),
        ("oldest waiting", _oldest(status.oldest_waiting, now)),
    ]
    print_fields(fields)
    click.echo()
    print_table(_COLUMNS, [_row(worker, now) for worker in status.workers], "No workers.")


def _server(database: DatabaseReport) -> str:
    kind = ", embedded" if database.embedded else ""
    return f"PostgreSQL {database.server_version}{kind}"


def _oldest(job: JobDetails | None, now: datetime) -> str:
    if job is None:
        return "none"
    since = job.scheduled_at or job.deferred_at
    return f"job {job.id} ({job.task_name}), due for {_ago(since, now)}"


def _row(worker: WorkerDetails, now: datetime) -> tuple[object, ...]:
    return (
        worker.id,
        worker.name,
        worker.host,
        worker.pid,
        worker.queues or "all",
        worker.concurrency,
        f"{_ago(worker.last_seen, now)} ago",
        _lease(worker.lease_expires_at, now),
    )


def _lease(expires_at: datetime | None, now: datetime) -> str:
    if expires_at is None:
        return "-"
    left_s = (expires_at - now).total_seconds()
    return f"{as_age(left_s)} left" if left_s > 0 else f"expired {as_age(-left_s)} ago"


def _ago(moment: datetime | None, now: datetime) -> str:
    return as_age((now - moment).total_seconds()) if moment else "-"
