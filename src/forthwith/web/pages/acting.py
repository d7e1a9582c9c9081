"""What the pages' forms do. Each leads back to a page, which says what has come of it."""

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from pydantic import AfterValidator
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from forthwith.errors import InvalidArgument
from forthwith.operations import Action, ActionResult
from forthwith.web.api.requests import DO_MAX, JobId
from forthwith.web.dependencies import AtDesk, dashboard_of, page_context
from forthwith.web.pages import names
from forthwith.web.pages.job_query import fields_of, filter_of, time_of
from forthwith.web.pages.layout import address, page

router = APIRouter()
DONE: dict[Action, str] = {
    "retry": "run again",
    "cancel": "cancelled",
    "abort": "asked to stop",
    "reschedule": "rescheduled",
    "delete": "deleted",
}
Name = Annotated[str, Form(), AfterValidator(names.read)]
At = Annotated[str | None, Form()]


@router.get("/actions")
async def preview(
    request: Request, desk: AtDesk, action: Action, at: str | None = None
) -> Response:
    """Show what an action on many jobs would touch, before it does."""
    asked = filter_of(request.query_params)
    time_of("at", at)
    return page(
        request,
        "action.html",
        action=action,
        at=at,
        done=DONE[action],
        asked=asked,
        fields=fields_of(asked),
        preview=await desk.preview(action, asked),
    )


@router.post("/actions")
async def apply(
    request: Request,
    desk: AtDesk,
    action: Annotated[Action, Form()],
    expected_max: Annotated[int, Form(ge=1, le=DO_MAX)],
    at: At = None,
) -> Response:
    """Do it to the jobs of a filter, at most as many as were announced."""
    asked = filter_of(_texts(await request.form()))
    due = time_of("at", at) if action == "reschedule" else None
    result = await desk.apply(action, asked, expected_max=expected_max, at=due)
    kept = fields_of(replace(asked, status=None))
    return _back(request, "/jobs", _told(result), **kept)


@router.post("/jobs/{job_id}/{action}")
async def act_on_one(
    request: Request, desk: AtDesk, job_id: JobId, action: Action, at: At = None
) -> Response:
    """Do something to one job."""
    match action:
        case "retry":
            result = await desk.retry([job_id])
        case "cancel":
            result = await desk.cancel([job_id])
        case "abort":
            result = await desk.abort([job_id])
        case "delete":
            result = await desk.delete([job_id])
        case "reschedule":
            due = time_of("at", at)
            if due is None:
                raise InvalidArgument("at", "is missing: when the job is to be due")
            result = await desk.reschedule([job_id], due)
    if action == "delete" and result.done:
        return _back(request, "/jobs", f"Job {job_id} is deleted.")
    return _back(request, f"/jobs/{job_id}", _told(result))


@router.post("/queues/pause")
async def pause_queue(request: Request, desk: AtDesk, queue: Name) -> Response:
    """Let nobody claim from a queue."""
    is_new = await desk.pause_queue(queue)
    said = f"{queue} is paused." if is_new else f"{queue} was paused already."
    return _back(request, "/queues", said)


@router.post("/queues/resume")
async def resume_queue(request: Request, desk: AtDesk, queue: Name) -> Response:
    """Let workers claim from a queue again."""
    was_paused = await desk.resume_queue(queue)
    said = f"{queue} goes on." if was_paused else f"{queue} was not paused."
    return _back(request, "/queues", said)


@router.post("/periodic/{deed}")
async def steer_periodic(
    request: Request,
    desk: AtDesk,
    deed: str,
    task: Name,
    periodic_id: Name = "",
) -> Response:
    """Pause, resume or run a periodic task."""
    match deed:
        case "pause":
            await desk.pause_periodic(task, periodic_id)
            said = f"{task} is paused."
        case "resume":
            await desk.resume_periodic(task, periodic_id)
            said = f"{task} goes on."
        case "run":
            said = f"{task} runs as job {await desk.run_periodic_now(task, periodic_id)}."
        case _:
            raise InvalidArgument("deed", f"must be pause, resume or run, not {deed!r}")
    return _back(request, "/periodic", said)


def _told(result: ActionResult) -> str:
    jobs = "1 job" if result.done == 1 else f"{result.done:,} jobs"
    said = f"{jobs} {DONE[result.action]}."
    for skipped in result.skipped:
        said += f" {skipped.count:,} left alone ({skipped.reason})."
    return said if result.is_complete else f"{said} There are more: do it again for them."


def _back(request: Request, path: str, said: str, **parameters: Any) -> Response:
    response = RedirectResponse(address(page_context(request).base, path, parameters), 303)
    dashboard_of(request).notices.give(request, response, path, said)
    return response


def _texts(form: FormData) -> dict[str, str]:
    return {name: value for name, value in form.items() if isinstance(value, str)}
