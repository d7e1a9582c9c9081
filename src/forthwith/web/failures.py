"""From an exception to the answer that tells of it."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import psycopg_pool
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request

from forthwith import errors
from forthwith.store.operator_pool import InTheWay, TooSlow
from forthwith.web.page_hooks import page_hook
from forthwith.web.paths import is_page
from forthwith.web.problems import InvalidValue, ProblemError, problem_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

AWAY = "The database cannot be reached. The dashboard tries again by itself."
RETRY = {"Retry-After": "2"}
HANDLED = (
    *(ProblemError, HTTPException, RequestValidationError, errors.InvalidArgument),
    *(errors.DatabaseUnavailable, errors.SchemaError, errors.NotPermitted, errors.AlreadyEnqueued),
    *(errors.TaskNotFound, errors.EmbeddedUnavailable),
    *(psycopg.OperationalError, psycopg_pool.PoolTimeout),
)


class Answer(NamedTuple):
    """A problem, not yet as bytes."""

    status: int
    detail: str
    headers: Mapping[str, str] | None = None
    invalid: list[InvalidValue] | None = None


def is_outage(error: Exception) -> bool:
    """Whether an exception means that the database cannot be reached."""
    return answer_to(error).detail == AWAY


def answer_to(error: Exception) -> Answer:
    """Return what to tell of an exception. Of one that nobody expected that is nothing but 500."""
    match error:
        case ProblemError():
            return Answer(error.status, error.detail, error.headers)
        case RequestValidationError():
            return _invalid_request(error)
        case HTTPException():
            return Answer(error.status_code, str(error.detail), error.headers)
        case errors.InvalidArgument():
            return Answer(
                422, str(error), invalid=[InvalidValue(where=error.argument, problem=error.problem)]
            )
        case errors.AlreadyEnqueued() | errors.TaskNotFound():
            return Answer(409, str(error))
        case errors.SchemaError() | errors.NotPermitted() | TooSlow() | InTheWay():
            return Answer(503, str(error), RETRY)
        case errors.DatabaseUnavailable() | errors.EmbeddedUnavailable():
            return Answer(503, AWAY, RETRY)
        case psycopg.OperationalError() | psycopg_pool.PoolTimeout():
            return Answer(503, AWAY, RETRY)
    return Answer(500, "Something went wrong in the dashboard; its log says what.")


def respond(request: Request, answer: Answer) -> Response:
    """Return the answer as a page for people, or as a problem for programs."""
    page = _page(request, answer) if is_page(request.scope) else None
    if page is not None:
        return page
    return problem_response(
        answer.status, answer.detail, invalid=answer.invalid, headers=dict(answer.headers or {})
    )


def _page(request: Request, answer: Answer) -> Response | None:
    """Return the answer as the pages draw it; None if they don't, or cannot."""
    draw = page_hook("problem_page")
    if draw is None:
        return None
    try:
        response: Response = draw(request, status=answer.status, detail=answer.detail)
    except Exception as error:
        log_unexpected(error, "the page of a problem")
        return None
    response.headers.update(answer.headers or {})
    return response


async def handle(request: Request, error: Exception) -> Response:
    """Answer to an exception in a route."""
    if is_outage(error):
        request.app.state.dashboard.outage.noticed()
    return respond(request, answer_to(error))


class Failures:
    """Answers to exceptions from whatever is inside it, if no answer has begun."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        has_begun = False

        async def watched(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:
            if not isinstance(error, HANDLED):
                log_unexpected(error, f"{scope['method']} {scope['path']}")
            if not has_begun:
                await respond(Request(scope), answer_to(error))(scope, receive, send)


def log_unexpected(error: Exception, where: str) -> None:
    """Say where an exception came from, but not its message, which may repeat a job's arguments."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    kind = f"{type(error).__module__}.{type(error).__qualname__}"
    logger.error("%s in %s\n%s", kind, where, frames)


def _invalid_request(error: RequestValidationError) -> Answer:
    if any(detail["type"] == "json_invalid" for detail in error.errors()):
        return Answer(400, "The body is not JSON.")
    invalid = [_invalid_value(detail) for detail in error.errors()]
    names = ", ".join(value.where for value in invalid)
    return Answer(422, f"Cannot be used: {names}.", invalid=invalid)


def _invalid_value(detail: dict[str, Any]) -> InvalidValue:
    where = ".".join(str(part) for part in detail["loc"])
    return InvalidValue(where=where, problem=str(detail["msg"]))
