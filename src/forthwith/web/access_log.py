"""A line for each request, without its query: that may hold arguments of jobs."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)


class AccessLog:
    """Logs method, path, status and time of each request, at the level debug if it went well."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        status = 0
        since_s = time.monotonic()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            level = logging.DEBUG if scope["method"] == "GET" and status < 400 else logging.INFO
            took_ms = (time.monotonic() - since_s) * 1000
            logger.log(level, "%s %s %d %.0f ms", scope["method"], scope["path"], status, took_ms)
