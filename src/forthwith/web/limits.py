"""Bounds on what is served: so many requests at once, so many bytes each."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from forthwith.web.paths import is_stream
from forthwith.web.problems import ProblemError, problem_response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_S = 10.0
CLOSE = {"Connection": "close"}
BUSY = "The dashboard has as many requests as it takes at once. Try again in a second."


class Limits:
    """Answers 503 to more requests than `requests_max` at once, and 413 to bodies that are too large.

    Streams are counted by whoever makes them.
    """

    def __init__(self, app: ASGIApp, *, requests_max: int, body_bytes_max: int) -> None:
        self._app = app
        self._requests_max = requests_max
        self._body_bytes_max = body_bytes_max
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request, or refuse to."""
        if is_stream(scope):
            await self._app(scope, receive, send)
        elif self._requests >= self._requests_max:
            await problem_response(503, BUSY, headers={"Retry-After": "1"})(scope, receive, send)
        else:
            self._requests += 1
            try:
                await self._serve(scope, receive, send)
            finally:
                self._requests -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(BODY_S):  # nobody holds a place with a body that never ends
                body = await self._body(receive)
        except TimeoutError:
            raise ProblemError(408, "The body took too long.", headers=CLOSE) from None
        if body is None:
            detail = f"The body has more than {self._body_bytes_max:,} bytes."
            await problem_response(413, detail, headers=CLOSE)(scope, receive, send)
        else:
            await self._app(scope, _replayed(body, receive), send)

    async def _body(self, receive: Receive) -> list[Message] | None:
        """Return the messages of the whole body; None if it is too large, as soon as that is seen."""
        messages: list[Message] = []
        size = 0
        while True:
            message = await receive()
            size += len(message.get("body", b""))
            if size > self._body_bytes_max:
                return None
            messages.append(message)
            if message["type"] != "http.request" or not message.get("more_body", False):
                return messages


def _replayed(messages: list[Message], receive: Receive) -> Receive:
    waiting = iter(messages)

    async def replayed() -> Message:
        message = next(waiting, None)
        return await receive() if message is None else message

    return replayed
