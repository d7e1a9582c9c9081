"""The pages that show something."""

from typing import Any, get_args

from fastapi import APIRouter, Request
from starlette.responses import Response

from forthwith.operations import STATUSES, Action
from forthwith.operations.deeds import APPLIES_TO
from forthwith.web.api.requests import JobId
from forthwith.web.dependencies import AtDesk
from forthwith.web.pages import names
from forthwith.web.pages.chart import HOUR, SPANS, History, span_of
from forthwith.web.pages.chosen import OVERVIEW_ROWS_MAX, chosen_queues, chosen_tasks
from forthwith.web.pages.job_query import fields_of, filter_of
from forthwith.web.pages.layout import page
from forthwith.web.problems import ProblemError

router = APIRouter()
JOBS_ON_A_PAGE = 50


@router.get("/")
async def show_overview(request: Request, desk: AtDesk, since: str | None = None) -> Response:
    """Show everything at a glance."""
    span = span_of(since)
    overview = await desk.overview()
    points = overview.history if span is HOUR else await desk.history(span.length_s)
    history = History(span, points)
    queues = chosen_queues(overview.queues, OVERVIEW_ROWS_MAX)
    return page(
        request, "overview.html", overview=overview, queues=queues, history=history, spans=SPANS
    )


@router.get("/jobs")
async def show_jobs(request: Request, desk: AtDesk, after: str | None = None) -> Response:
    """Show the jobs of a filter, newest first."""
    asked = filter_of(request.query_params)
    found = await desk.jobs(asked, limit=JOBS_ON_A_PAGE, after=after)
    return page(
        request,
        "jobs.html",
        asked=asked,
        fields=fields_of(asked),
        found=found,
        after=after,
        statuses=STATUSES,
        actions=get_args(Action),
    )


@router.get("/jobs/{job_id}")
async def show_job(request: Request, desk: AtDesk, job_id: JobId) -> Response:
    """Show all that is known of a job."""
    view = await desk.job(job_id)
    if view is None:
        raise ProblemError(404, f"There is no job {job_id}. History may have been pruned.")
    actions = [action for action, states in APPLIES_TO.items() if view.job.state in states]
    return page(request, "job.html", view=view, job=view.job, actions=actions)


@router.get("/queues")
async def show_queues(
    request: Request, desk: AtDesk, queue: str = "", since: str | None = None
) -> Response:
    """Show the queues, and charts of the one that is asked for."""
    span, queue = span_of(since), names.read(queue)
    queues = chosen_queues(await desk.queues())
    history = queue and History(span, await desk.history(span.length_s, queue=queue), queue)
    return page(request, "queues.html", queues=queues, history=history, spans=SPANS)


@router.get("/tasks")
async def show_tasks(request: Request, desk: AtDesk) -> Response:
    """Show the tasks."""
    return page(request, "tasks.html", tasks=chosen_tasks(await desk.tasks()))


@router.get("/periodic")
async def show_periodic(request: Request, desk: AtDesk) -> Response:
    """Show the periodic tasks."""
    return page(request, "periodic.html", tasks=await desk.periodic())


@router.get("/locks")
async def show_locks(request: Request, desk: AtDesk) -> Response:
    """Show the longest lines."""
    return page(request, "locks.html", locks=await desk.locks())


@router.get("/workers")
async def show_workers(request: Request, desk: AtDesk) -> Response:
    """Show the workers."""
    return page(request, "workers.html", workers=await desk.workers())


@router.get("/health")
async def show_health(request: Request, desk: AtDesk) -> Response:
    """Show what is wrong, in words."""
    findings: list[Any] = await desk.findings()
    return page(request, "health.html", findings=findings)
