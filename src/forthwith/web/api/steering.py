"""Queues and periodic tasks: pause them, resume them, run one now."""

from typing import Annotated

from fastapi import APIRouter, Path
from pydantic import BaseModel, Field
from starlette.convertors import StringConvertor, register_url_convertor

from forthwith.operations import Desk
from forthwith.web.api.errors import CONFLICT, NOT_FOUND
from forthwith.web.api.requests import Name, Periodic
from forthwith.web.dependencies import AtDesk
from forthwith.web.problems import ProblemError


class AnyText(StringConvertor):
    """Part of a path that may hold slashes and line ends, as a queue's name may."""

    regex = "(?s:.+)"


register_url_convertor("any", AnyText())
router = APIRouter()
QueueName = Annotated[Name, Path(description="The queue's name.")]


class Change(BaseModel):
    """What has come of it."""

    changed: bool = Field(description="False: it was so already.")


class Deferred(BaseModel):
    """A new job."""

    job_id: int


@router.post("/queues/{queue:any}/pause", tags=["queues"])
async def pause_queue(desk: AtDesk, queue: QueueName) -> Change:
    """Let nobody claim from a queue."""
    return Change(changed=await desk.pause_queue(queue))


@router.post("/queues/{queue:any}/resume", tags=["queues"])
async def resume_queue(desk: AtDesk, queue: QueueName) -> Change:
    """Let workers claim from a queue again."""
    return Change(changed=await desk.resume_queue(queue))


@router.post("/periodic/pause", tags=["periodic"], responses=NOT_FOUND)
async def pause_periodic(desk: AtDesk, body: Periodic) -> Change:
    """Skip a periodic task's ticks from now on."""
    await _check_known(desk, body)
    return Change(changed=await desk.pause_periodic(body.task, body.periodic_id))


@router.post("/periodic/resume", tags=["periodic"], responses=NOT_FOUND)
async def resume_periodic(desk: AtDesk, body: Periodic) -> Change:
    """Defer a periodic task's ticks again from now on."""
    await _check_known(desk, body)
    return Change(changed=await desk.resume_periodic(body.task, body.periodic_id))


@router.post("/periodic/run", tags=["periodic"], responses={**NOT_FOUND, **CONFLICT})
async def run_periodic(desk: AtDesk, body: Periodic) -> Deferred:
    """Defer a job of a periodic task, for now."""
    await _check_known(desk, body)
    return Deferred(job_id=await desk.run_periodic_now(body.task, body.periodic_id))


async def _check_known(desk: Desk, body: Periodic) -> None:
    known = {(state.task, state.periodic_id) for state in await desk.periodic()}
    if (body.task, body.periodic_id) not in known:
        raise ProblemError(404, "No worker has told of a periodic task of that name and id.")
