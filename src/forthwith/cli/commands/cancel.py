"""`forthwith cancel`: cancel waiting jobs, ask running ones to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.bulk import Wanted, act, which_jobs
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.job_results import JobResult, not_found, report
from forthwith.cli.session import any_app, in_open_app

if TYPE_CHECKING:
    from forthwith import App


@click.command(
    epilog="Examples: forthwith cancel 12 13; forthwith cancel --where 'task=import since=1h'"
)
@which_jobs
@click.option("--abort", is_flag=True, help="Ask jobs that are running to stop.")
@click.option("--delete", is_flag=True, help="Delete the jobs that were waiting, keep no history.")
def command(*, abort: bool, delete: bool, **wanted_: Any) -> int:
    """Cancel jobs that wait, by their IDs or all for which --where holds.

    With --abort, ask running ones to stop, too. Exits with 1 if a job had ended already or runs and
    --abort was not given, with 6 if there is no such job.
    """
    wanted = Wanted(**wanted_)
    wanted.check()
    if wanted.where is not None:
        if abort or delete:
            other = "abort" if abort else "delete"
            raise click.UsageError(f"--{other} takes ids; use `forthwith {other} --where` instead")
        return act("cancel", wanted)

    async def cancel_all(app: App) -> list[JobResult]:
        return [
            await _cancel(app, job_id, abort=abort, delete=delete) for job_id in wanted.unique_ids
        ]

    return report(in_open_app(any_app(), cancel_all), as_json=wanted.as_json)


async def _cancel(app: App, job_id: int, *, abort: bool, delete: bool) -> JobResult:
    done = await app.job_manager.cancel_job_by_id_async(job_id, abort=abort, delete_job=delete)
    job = await app.job_manager.get_job_async(job_id)
    status = str(job.status) if job else None
    if done:
        return _cancelled(job_id, status)
    return _not_cancelled(job_id, status) if status else not_found(job_id)


def _cancelled(job_id: int, status: str | None) -> JobResult:
    if status is None:
        return JobResult(job_id, "deleted", ExitCode.OK, None, f"job {job_id}: deleted")
    if status == "cancelled":
        message = f"job {job_id}: cancelled"
        return JobResult(job_id, "cancelled", ExitCode.OK, status, message)
    message = f"job {job_id}: asked to stop"
    return JobResult(job_id, "abort_requested", ExitCode.OK, status, message)


def _not_cancelled(job_id: int, status: str) -> JobResult:
    if status == "doing":
        message = f"job {job_id}: it is running; pass --abort to ask it to stop"
    else:
        message = f"job {job_id}: nothing to cancel, it is {status}"
    return JobResult(job_id, "not_cancelled", ExitCode.FAILED, status, message)
