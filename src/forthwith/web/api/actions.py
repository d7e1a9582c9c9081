"""Actions on many jobs: what one would touch, and doing it."""

from typing import Any

from fastapi import APIRouter

from forthwith import operations
from forthwith.errors import InvalidArgument
from forthwith.operations import Changes
from forthwith.web.api.documents import document_of
from forthwith.web.api.requests import ApplyBody, PreviewBody
from forthwith.web.dependencies import AtDesk

ONE_OF_TWO = "pass either `filter` or `ids`"

router = APIRouter(prefix="/actions", tags=["actions"])


@router.post("/preview", response_model=document_of(operations.Preview))
async def preview(desk: AtDesk, body: PreviewBody) -> Any:
    """Say what an action would do to the jobs of `ids`, or to those of `filter`. Nothing is changed."""
    if body.ids is not None and body.filter is None:
        return await desk.preview_of(body.action, body.ids)
    if body.filter is None or body.ids is not None:
        raise InvalidArgument("filter", ONE_OF_TWO)
    return await desk.preview(body.action, body.filter.filter())


@router.post("/apply", response_model=document_of(operations.ActionResult))
async def apply(desk: AtDesk, body: ApplyBody) -> Any:
    """Do it: to the jobs of `ids`, or to those of `filter`, at most `expected_max` of them.

    What a job has become meanwhile counts, not what the preview said.
    """
    if (body.action == "reschedule") != (body.at is not None):
        raise InvalidArgument("at", "goes with `reschedule`, and with nothing else")
    if (body.ids is None) == (body.filter is None):
        raise InvalidArgument("filter", ONE_OF_TWO)
    if body.ids is not None:
        return await desk.do(body.action, body.ids, Changes(at=body.at))
    if body.filter is None or body.expected_max is None:
        raise InvalidArgument("expected_max", "goes with `filter`: the most jobs to touch")
    return await desk.apply(
        body.action, body.filter.filter(), expected_max=body.expected_max, at=body.at
    )
