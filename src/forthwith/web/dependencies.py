"""What routes are given: the desk, who asks, and what every page shows of both.

Requests come here signed in: whoever may not read never reaches a route, and whoever may not act never
reaches one by an unsafe method (POST, PUT, PATCH, DELETE).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, cast

from fastapi import Depends, HTTPException, Request

from forthwith.operations import Desk
from forthwith.web.role import Role

if TYPE_CHECKING:
    from forthwith.web.asgi import Dashboard
    from forthwith.web.identity import Identity


@dataclass(frozen=True, slots=True)
class PageContext:
    """What every page needs to know of the request.

    Links start with `base`. Forms need no token of their own: a POST from another site is refused by its
    Sec-Fetch-Site or Origin. The policy allows scripts and styles from /static alone, none inline.
    """

    base: str
    """The path that the dashboard is mounted at, without a slash at its end: "" or "/dashboard"."""
    role: Role
    user: str | None
    """Who is logged in; None where the dashboard has no logins of its own."""
    arguments_hidden: bool
    """Whether arguments are never shown; then no text filter works either."""

    @property
    def may_act(self) -> bool:
        """Whether to show what only an operator may do."""
        return self.role is Role.OPERATOR


def dashboard_of(request: Request) -> Dashboard:
    """Return the dashboard that a request came to."""
    return cast("Dashboard", request.app.state.dashboard)


def desk(request: Request) -> Desk:
    """Return the desk, which hides secrets in what it returns."""
    return dashboard_of(request).desk


AtDesk = Annotated[Desk, Depends(desk)]


def identity(request: Request) -> Identity:
    """Return who asks."""
    return cast("Identity", request.scope["forthwith.identity"])


def role(request: Request) -> Role:
    """Return what whoever asks may do."""
    return identity(request).role


def require_operator(request: Request) -> None:
    """Raise 403 unless an operator asks; for GET routes, as other methods are refused before."""
    if role(request) is not Role.OPERATOR:
        raise HTTPException(403, "This needs the role operator.")


def page_context(request: Request) -> PageContext:
    """Return what every page needs."""
    asks = identity(request)
    return PageContext(
        base=request.scope.get("root_path", "").rstrip("/"),
        role=asks.role,
        user=asks.user,
        arguments_hidden=dashboard_of(request).settings.hide_arguments,
    )
