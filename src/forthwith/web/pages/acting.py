"""What the pages' forms do. Each leads back to a page, which says what has come of it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from pydantic import AfterValidator
from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from forthwith.errors import InvalidArgument
from forthwith.operations import Action, ActionResult, Changes
from forthwith.web.api.requests import DO_MAX, IDS_MAX, JobId
from forthwith.web.dependencies import AtDesk, dashboard_of, page_context
from forthwith.web.pages import names
from forthwith.web.pages.job_query import fields_of, filter_of, number, time_of
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
    """Show what an action on many jobs would touch, before it does: on those that were chosen, or on all."""
    asked = filter_of(request.query_params)
    chosen = _ids(request.query_params.getlist("id"))
    time_of("at", at)
    return page(
        request,
        "action.html",
        action=action,
        at=at,
        done=DONE[action],
        fields=fields_of(asked),
        chosen=chosen,
        preview=await (desk.preview_of(action, chosen) if chosen else desk.preview(action, asked)),
    )


@router.post("/actions")
async def apply(
    request: Request,
    desk: AtDesk,
    action: Annotated[Action, Form()],
    expected_max: Annotated[int, Form(ge=1, le=DO_MAX)],
    at: At = None,
) -> Response:
    """Do it: to the jobs that were chosen or, of those of a filter, to as many as were announced."""
    form = await request.form()
    asked = filter_of(_texts(form))
    chosen = _ids(text for text in form.getlist("id") if isinstance(text, str))
    changes = _changes(action, at)
    if chosen:
        result = await desk.do(action, chosen, changes)
    else:
        result = await desk.apply(action, asked, expected_max=expected_max, at=changes.at)
    kept = fields_of(replace(asked, status=None))
    return _back(request, "/jobs", _told(result), **kept)


@router.post("/jobs/{job_id}/{action}")
async def act_on_one(
    request: Request, desk: AtDesk, job_id: JobId, action: Action, at: At = None
) -> Response:
    """Do something to one job."""
    result = await desk.do(action, [job_id], _changes(action, at))
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


def _changes(action: Action, at: str | None) -> Changes:
    """Return when jobs are to be due, if the action is about that."""
    if action != "reschedule":
        return Changes()
    due = time_of("at", at)
    if due is None:
        raise InvalidArgument("at", "is missing: when it is to be due")
    return Changes(at=due)


def _ids(texts: Iterable[str]) -> list[int]:
    ids = [number("id", text) for text in texts]
    if len(ids) > IDS_MAX:
        raise InvalidArgument("id", f"may be there {IDS_MAX:,} times at most")
    return ids


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
