"""What the dashboard answers when it cannot do what was asked: one shape, that of RFC 9457."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


class InvalidValue(BaseModel):
    """A value that cannot be used."""

    where: str = Field(description="Such as `query.limit` or `body.filter.queue`.")
    problem: str


class Problem(BaseModel):
    """Why something was not done (RFC 9457)."""

    type: str = "about:blank"
    title: str = Field(description="The status in words.")
    status: int
    detail: str = Field(description="What is wrong, and what to do.")
    invalid: list[InvalidValue] | None = Field(
        default=None, description="With 422: each value that cannot be used."
    )


class ProblemError(Exception):
    """Ends a request with a problem."""

    def __init__(self, status: int, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


class ProblemResponse(JSONResponse):
    """A problem as an answer."""

    media_type = MEDIA_TYPE


def problem_response(
    status: int,
    detail: str,
    *,
    invalid: list[InvalidValue] | None = None,
    headers: dict[str, str] | None = None,
) -> ProblemResponse:
    """Return the answer that tells of a problem."""
    problem = Problem(
        title=HTTPStatus(status).phrase, status=status, detail=detail, invalid=invalid
    )
    content: dict[str, Any] = problem.model_dump(exclude_none=True)
    return ProblemResponse(content, status, headers=headers)
