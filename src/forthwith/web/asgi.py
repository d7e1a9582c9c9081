"""The dashboard as one ASGI application: guards outside, routes inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.operations import Desk
from forthwith.web.app import make_routes
from forthwith.web.identity import Identity
from forthwith.web.role import Role

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from forthwith.app import App
    from forthwith.web.settings import Settings


class Dashboard:
    """An ASGI application, to be served by itself or mounted."""

    def __init__(self, app: App, settings: Settings) -> None:
        """Make a dashboard for an app's database; nothing connects yet."""
        self.settings = settings
        self.desk = Desk(app)
        self.routes = make_routes(self)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        scope["forthwith.identity"] = Identity(Role.OPERATOR)
        await self.routes(scope, receive, send)

    async def aclose(self) -> None:
        """Close the desk's connections."""
        await self.desk.close()
