"""Logging in and out of the dashboard's own logins."""

from __future__ import annotations

from html import escape
from typing import Annotated, cast
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, HTTPException, Request, Response
from starlette.responses import HTMLResponse, RedirectResponse

from forthwith.web.dependencies import dashboard_of
from forthwith.web.gates import LoginGate, TooManyAttempts, address_of
from forthwith.web.page_hooks import page_hook
from forthwith.web.passwords import PASSWORD_CHARACTERS_MAX
from forthwith.web.paths import base_of
from forthwith.web.sessions import COOKIE

router = APIRouter(include_in_schema=False)

Password = Annotated[str, Form(max_length=PASSWORD_CHARACTERS_MAX)]
Name = Annotated[str, Form(max_length=256)]
WRONG = "Wrong name or password."


@router.get("/login")
async def login_page(request: Request, next: str = "/") -> Response:  # noqa: A002 -- in the page's address
    """Return the form."""
    _gate(request)
    return _page(request, safe_target(next), problem=None, status=200)


@router.post("/login")
async def log_in(
    request: Request,
    name: Name = "",
    password: Password = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    """Begin a session and go on to the page that was wanted; 401 for a wrong password, 429 for many."""
    gate, target = _gate(request), safe_target(next)
    try:
        login = await gate.check(address_of(request), name, password)
    except TooManyAttempts as error:
        wait_s = int(error.wait_s) + 1
        response = _page(request, target, f"Too many attempts. Wait {wait_s} seconds.", 429)
        response.headers["Retry-After"] = str(wait_s)
        return response
    if login is None:
        return _page(request, target, WRONG, 401)
    response = RedirectResponse(base_of(request.scope) + target, 303)
    _set_cookie(request, response, gate.sessions.begin(login))
    return response


@router.post("/logout")
async def log_out(request: Request) -> Response:
    """End the session in this browser."""
    _gate(request)
    response = RedirectResponse(f"{base_of(request.scope)}/login", 303)
    response.delete_cookie(COOKIE, path=_cookie_path(request), httponly=True, samesite="lax")
    return response


def safe_target(wanted: str) -> str:
    """Return the path to go to after the login: one of the dashboard's own, never another site's."""
    if not wanted.isprintable() or "\\" in wanted or wanted.startswith("//"):
        return "/"
    try:
        parts = urlsplit(wanted)
    except ValueError:
        return "/"
    if (
        parts.scheme
        or parts.netloc
        or not parts.path.startswith("/")
        or parts.path.startswith("//")
    ):
        return "/"
    return parts.path + (f"?{parts.query}" if parts.query else "")


def _gate(request: Request) -> LoginGate:
    gate = dashboard_of(request).gate
    if not isinstance(gate, LoginGate):
        raise HTTPException(404, "This dashboard has no logins of its own.")
    return gate


def _set_cookie(request: Request, response: Response, cookie: str) -> None:
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(dashboard_of(request).settings.session_s),
        path=_cookie_path(request),
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="lax",  # a link from a pager leads in; what changes anything is asked for its origin
    )


def _cookie_path(request: Request) -> str:
    return base_of(request.scope) or "/"


def _page(request: Request, target: str, problem: str | None, status: int) -> Response:
    """Return the form as the pages draw it or, without them, a plain one."""
    draw = page_hook("login_page")
    if draw is not None:
        return cast("Response", draw(request, target=target, problem=problem, status=status))
    return HTMLResponse(_plain_page(base_of(request.scope), target, problem), status)


def _plain_page(base: str, target: str, problem: str | None) -> str:
    said = f'<p role="alert">{escape(problem)}</p>' if problem else ""
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Log in</title>'
        f'<h1>forthwith</h1>{said}<form method="post" action="{escape(base)}/login">'
        '<p><label>Name <input name="name" autocomplete="username" required autofocus></label></p>'
        '<p><label>Password <input name="password" type="password" '
        'autocomplete="current-password" required></label></p>'
        f'<input type="hidden" name="next" value="{escape(target)}">'
        "<p><button>Log in</button></p></form></html>"
    )
