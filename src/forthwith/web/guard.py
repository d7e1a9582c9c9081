"""Lets in who may come in, and lets them do what they may do. It knows nothing of the routes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse

from forthwith.web.gates import LoginGate, TooManyAttempts
from forthwith.web.hosts import is_allowed
from forthwith.web.origin import SAFE_METHODS, is_from_here, is_without_browser
from forthwith.web.paths import base_of, is_page, is_public, path_of
from forthwith.web.problems import ProblemError
from forthwith.web.role import Role

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from forthwith.web.gates import Gate
    from forthwith.web.settings import Settings

PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Guard:
    """Refuses strange hosts (400), other sites' requests (403), strangers (401) and viewers' deeds (403)."""

    def __init__(self, app: ASGIApp, settings: Settings, gate: Gate) -> None:
        self._app = app
        self._settings = settings
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse to. Raises `ProblemError`."""
        request = Request(scope)
        self._check_host(request)
        self._check_origin(request)
        if not is_public(scope):
            try:
                identity = await self._gate.identify(request)
            except TooManyAttempts as error:
                raise too_many_attempts(error) from None
            if identity is None:
                await self._stranger(request)(scope, receive, send)
                return
            if identity.role is Role.VIEWER and request.method not in SAFE_METHODS:
                raise ProblemError(403, "This needs the role operator; you are a viewer.")
            scope["forthwith.identity"] = identity
        await self._app(scope, receive, send)

    def _check_host(self, request: Request) -> None:
        host = request.headers.get("host", "")
        if not is_allowed(host, self._settings.hosts):
            raise ProblemError(
                400,
                "This dashboard is not known under the name in the Host header. If it should be, allow it: "
                "--allow-host NAME, or allowed_hosts=(...) where it is mounted.",
            )
        if self._settings.refuse_proxies and any(
            header in request.headers for header in PROXY_HEADERS
        ):
            raise ProblemError(
                403, "Through a proxy, the dashboard needs credentials: see --password-file."
            )

    def _check_origin(self, request: Request) -> None:
        if request.method in SAFE_METHODS or is_from_here(request.headers, request.url.scheme):
            return
        if "authorization" in request.headers and is_without_browser(request.headers):
            return  # a program that brings its password; no browser adds it for another site
        raise ProblemError(
            403,
            "This did not come from the dashboard's own pages. Programs say so with the header "
            "`Sec-Fetch-Site: none`.",
        )

    def _stranger(self, request: Request) -> Response:
        """Return the way to the login, or raise 401 for programs."""
        if not is_page(request.scope) or request.method != "GET":
            raise ProblemError(401, "Log in first.", headers={"WWW-Authenticate": "Session"})
        if self._settings.login_url is not None:
            return RedirectResponse(self._settings.login_url, 303)
        if not isinstance(self._gate, LoginGate):
            raise ProblemError(401, "You are not allowed to see this.")
        wanted = path_of(request.scope)
        if request.url.query:
            wanted = f"{wanted}?{request.url.query}"
        return RedirectResponse(
            f"{base_of(request.scope)}/login?next={quote(wanted, safe='')}", 303
        )


def too_many_attempts(error: TooManyAttempts) -> ProblemError:
    """Return the problem of guessing too often."""
    wait_s = math.ceil(error.wait_s)
    return ProblemError(
        429, f"Too many attempts. Wait {wait_s} seconds.", headers={"Retry-After": str(wait_s)}
    )
