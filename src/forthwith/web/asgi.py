"""The dashboard as one ASGI application: guards outside, routes inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from forthwith.web.access_log import AccessLog
from forthwith.web.app import make_routes
from forthwith.web.discreet_desk import DiscreetDesk
from forthwith.web.events import Events
from forthwith.web.failures import Failures
from forthwith.web.gates import gate_of
from forthwith.web.guard import Guard
from forthwith.web.headers import SecurityHeaders
from forthwith.web.limits import Limits
from forthwith.web.notices import Notices
from forthwith.web.outage import Outage, OutageCheck
from forthwith.web.redaction import is_secret_name

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from forthwith.app import App
    from forthwith.web.settings import Settings


class Dashboard:
    """An ASGI application, to be served by itself or mounted.

    Served by itself it closes its connections at the end. Mounted it never hears of the end, for that is
    told to the outermost application alone; there, `async with dashboard:` in that one's lifespan does it.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        """Make a dashboard for an app's database; nothing connects yet."""
        self.settings = settings
        self.gate = gate_of(settings)
        self.desk = DiscreetDesk(
            app,
            is_secret=settings.redact or is_secret_name,
            hide_arguments=settings.hide_arguments,
        )
        self.outage = Outage(app.connector.database)
        self.events = Events(self.desk, self.outage, streams_max=settings.streams_max)
        self.notices = Notices(settings.secret)
        self.routes = make_routes(self)
        self._stack = self._guarded(self.routes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or the lifespan."""
        if scope["type"] == "http":
            await self._stack(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self.routes(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the streams, and close the desk's connections. Both come back when they are asked for."""
        await self.events.stop()
        await self.desk.close()

    def _guarded(self, routes: ASGIApp) -> ASGIApp:
        """Return the routes behind everything that a request passes first, from the inside out."""
        settings = self.settings
        limits = Limits(
            Guard(OutageCheck(routes, self.outage), settings, self.gate),
            requests_max=settings.requests_max,
            body_bytes_max=settings.body_bytes_max,
        )
        return SecurityHeaders(AccessLog(Failures(limits)))
