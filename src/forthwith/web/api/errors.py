"""Which problems the API documents, and that all of them have one shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forthwith.web.problems import MEDIA_TYPE, Problem

if TYPE_CHECKING:
    from fastapi import FastAPI

Responses = dict[int | str, dict[str, Any]]


def _problem(status: int, description: str) -> Responses:
    return {status: {"model": Problem, "description": description}}


ALWAYS: Responses = {
    **_problem(400, "The Host header is not one of the allowed names, or the body is not JSON."),
    **_problem(401, "Nobody is logged in."),
    **_problem(403, "It came from another site, or needs the role operator."),
    **_problem(413, "The body is too large."),
    **_problem(422, "A value cannot be used; `invalid` says which."),
    **_problem(429, "Passwords were tried too often."),
    **_problem(503, "The database is away, or the dashboard is busy: try again after Retry-After."),
}
NOT_FOUND = _problem(404, "There is no such thing.")
CONFLICT = _problem(409, "It is not in a state for that; the detail says why.")


def document_problems(routes: FastAPI) -> None:
    """Have the OpenAPI document say that problems are of the media type that they are of."""
    plain = routes.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        for path in document["paths"].values():
            for operation in path.values():
                for status, response in operation["responses"].items():
                    _rename(response, problem=status >= "400")
        return document

    routes.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change it


def _rename(response: dict[str, Any], *, problem: bool) -> None:
    content = response.get("content", {})
    if problem and "application/json" in content:
        content[MEDIA_TYPE] = content.pop("application/json")
