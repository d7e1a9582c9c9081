"""`forthwith retry`: run failed jobs again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.bulk import Wanted, act, which_jobs
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.job_results import JobResult, not_found, report
from forthwith.cli.output import as_text
from forthwith.cli.parameters import PRIORITY, due_time, moment, wait_s
from forthwith.cli.session import any_app, in_open_app

if TYPE_CHECKING:
    from forthwith import App


@click.command(
    epilog="Examples: forthwith retry 12 13; forthwith retry --where 'queue=mail state=failed ended=1h'"
)
@which_jobs
@click.option("--at", metavar="TIME", type=moment, help="When: ISO 8601 with an offset from UTC.")
@click.option("--in", "in_s", metavar="WAIT", type=wait_s, help="When: 90, 90s, 5m, 2h or 1d.")
@click.option("--queue", metavar="NAME", help="Move the jobs to this queue.")
@click.option("--priority", type=PRIORITY, help="Give the jobs this priority; higher runs first.")
@click.option("--lock", metavar="NAME", help="Give the jobs this lock.")
def command(
    *,
    at: datetime | None,
    in_s: float | None,
    queue: str | None,
    priority: int | None,
    lock: str | None,
    **wanted_: Any,
) -> int:
    """Run jobs again, by their IDs or all for which --where holds: at once, or at some time.

    Exits with 1 if a job is in a status that cannot be retried, with 6 if there is no such job.
    """
    wanted = Wanted(**wanted_)
    wanted.check()
    retry_at = due_time(at, in_s)
    changed: dict[str, Any] = {"queue": queue, "priority": priority, "lock": lock}
    if wanted.where is not None:
        return act("retry", wanted, at=retry_at, **changed)

    async def retry_all(app: App) -> list[JobResult]:
        return [await _retry(app, job_id, retry_at, changed) for job_id in wanted.unique_ids]

    return report(in_open_app(any_app(), retry_all), as_json=wanted.as_json)


async def _retry(
    app: App, job_id: int, retry_at: datetime | None, changed: dict[str, Any]
) -> JobResult:
    from forthwith.errors import ConnectorException

    job = await app.job_manager.get_job_async(job_id)
    if job is None:
        return not_found(job_id)
    try:
        await app.job_manager.retry_job_by_id_async(
            job_id, retry_at or datetime.now(UTC), **changed
        )
    except ConnectorException as error:
        return _not_retried(job_id, str(job.status), error)
    when = f"at {as_text(retry_at)} UTC" if retry_at else "at once"
    return JobResult(job_id, "retried", ExitCode.OK, "todo", f"job {job_id}: runs again {when}")


def _not_retried(job_id: int, status: str, error: Exception) -> JobResult:
    from forthwith.errors import DatabaseUnavailable, SchemaError

    # A refusal has no cause; anything else that fails is about the database, not about the job.
    if isinstance(error, DatabaseUnavailable | SchemaError) or error.__cause__ is not None:
        raise error
    message = f"job {job_id}: cannot be retried, it is {status}"
    return JobResult(job_id, "not_retried", ExitCode.FAILED, status, message)
