"""Jobs: a page of them, one in detail, and what can be done to one."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from forthwith import operations
from forthwith.operations import ActionResult, Desk
from forthwith.web.api.documents import document_of
from forthwith.web.api.errors import CONFLICT, NOT_FOUND, Responses
from forthwith.web.api.requests import JobId, JobsQuery, Reschedule
from forthwith.web.dependencies import AtDesk
from forthwith.web.problems import ProblemError

router = APIRouter(prefix="/jobs", tags=["jobs"])
ON_ONE: Responses = {**NOT_FOUND, **CONFLICT}


@router.get("", response_model=document_of(operations.JobPage))
async def get_jobs(desk: AtDesk, query: Annotated[JobsQuery, Query()]) -> Any:
    """Return jobs that fit all of what is given, newest first.

    A page may be empty and not the last: it looks for a fraction of a second. Go on with `after` while
    there is a `next_cursor`.
    """
    return await desk.jobs(query.filter(), limit=query.limit, after=query.after)


@router.get("/{job_id}", response_model=document_of(operations.JobView), responses=NOT_FOUND)
async def get_job(desk: AtDesk, job_id: JobId) -> Any:
    """Return all that is known of a job."""
    view = await desk.job(job_id)
    if view is None:
        raise _no_job(job_id)
    return view


@router.post(
    "/{job_id}/retry", response_model=document_of(operations.ActionResult), responses=ON_ONE
)
async def retry(desk: AtDesk, job_id: JobId) -> Any:
    """Let a job that failed, was aborted or was cancelled run again, now."""
    return await _done(desk, job_id, await desk.retry([job_id]))


@router.post(
    "/{job_id}/cancel", response_model=document_of(operations.ActionResult), responses=ON_ONE
)
async def cancel(desk: AtDesk, job_id: JobId) -> Any:
    """Cancel a job that waits."""
    return await _done(desk, job_id, await desk.cancel([job_id]))


@router.post(
    "/{job_id}/abort", response_model=document_of(operations.ActionResult), responses=ON_ONE
)
async def abort(desk: AtDesk, job_id: JobId) -> Any:
    """Ask a running job to stop."""
    return await _done(desk, job_id, await desk.abort([job_id]))


@router.post(
    "/{job_id}/reschedule", response_model=document_of(operations.ActionResult), responses=ON_ONE
)
async def reschedule(desk: AtDesk, job_id: JobId, body: Reschedule) -> Any:
    """Make a job that waits due at that time."""
    return await _done(desk, job_id, await desk.reschedule([job_id], body.at))


@router.delete("/{job_id}", response_model=document_of(operations.ActionResult), responses=ON_ONE)
async def delete(desk: AtDesk, job_id: JobId) -> Any:
    """Delete a job that waits or has finished, with its attempts and result."""
    return await _done(desk, job_id, await desk.delete([job_id]))


async def _done(desk: Desk, job_id: int, result: ActionResult) -> ActionResult:
    """Return the result; raise 404 or 409 if nothing was done."""
    if result.done > 0:
        return result
    view = await desk.job(job_id)
    if view is None:
        raise _no_job(job_id)
    why = "; ".join(skipped.reason for skipped in result.skipped)
    raise ProblemError(409, f"Job {job_id} is {view.job.status}. {why}".strip())


def _no_job(job_id: int) -> ProblemError:
    return ProblemError(404, f"There is no job {job_id}.")
