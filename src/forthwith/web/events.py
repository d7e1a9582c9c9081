"""Live events: one look a second for all who listen, and none when nobody does."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.responses import StreamingResponse

from forthwith.web.digest import digest_of
from forthwith.web.failures import HANDLED, answer_to, is_outage, log_unexpected
from forthwith.web.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.types import Receive, Scope, Send

    from forthwith.operations import Desk
    from forthwith.web.outage import Outage

HEARTBEAT_S = 15.0
STREAM_S = 600.0
LOOK_EVERY_S = 1.0
STOP_CHECK_S = 0.25
FULL = "As many pages listen for live events as may. Pages still work; reload them for news."


@dataclass(eq=False, slots=True)
class Listener:
    """Somebody's stream: the newest event that was not sent yet, older ones are of no use."""

    newest: str | None = None
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, event: str | None) -> None:
        """Have the stream send this; None ends it."""
        self.newest = event
        self.woken.set()


class Events:
    """Server-sent events for all streams of a dashboard.

    `change` has a digest of the overview (see `digest_of`), at once and whenever it has changed;
    `unavailable` says in words that the database cannot be asked. A stream ends after ten minutes, for
    browsers open the next one by themselves, and with the server.
    """

    def __init__(self, desk: Desk, outage: Outage, *, streams_max: int) -> None:
        self._desk = desk
        self._outage = outage
        self._streams_max = streams_max
        self._listeners: set[Listener] = set()
        self._refresher: asyncio.Task[None] | None = None
        self._latest: str | None = None

    @property
    def streams(self) -> int:
        """How many listen."""
        return len(self._listeners)

    @contextmanager
    def joined(self) -> Iterator[Listener]:
        """Count somebody as a listener within the block. Raises `ProblemError` (503) for one too many."""
        self.check_room()
        listener = Listener()
        self._listeners.add(listener)
        self._start()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    def check_room(self) -> None:
        """Raise `ProblemError` (503) when no more may listen."""
        if len(self._listeners) >= self._streams_max:
            raise ProblemError(503, FULL, headers={"Retry-After": "30"})

    async def stop(self) -> None:
        """End all streams."""
        for listener in self._listeners:
            listener.tell(None)
        if self._refresher is not None:
            self._refresher.cancel()
            with suppress(asyncio.CancelledError):
                await self._refresher
            self._refresher = None

    async def stream(self, listener: Listener) -> AsyncIterator[str]:
        """Yield the text of a listener's stream."""
        end_s = time.monotonic() + STREAM_S
        yield "retry: 2000\n\n"
        if self._latest is not None and listener.newest is None:
            listener.tell(self._latest)
        while time.monotonic() < end_s:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await listener.woken.wait()
            except TimeoutError:
                yield ": still here\n\n"
                continue
            listener.woken.clear()
            if listener.newest is None:
                return
            yield listener.newest

    def _start(self) -> None:
        if self._refresher is None or self._refresher.done():
            self._latest = None
            self._refresher = asyncio.create_task(self._refresh(), name="dashboard events")

    async def _refresh(self) -> None:
        """Look once a second while anybody listens, and tell all of what has changed."""
        while self._listeners:
            event = await self._look()
            if event != self._latest:
                self._latest = event
                for listener in self._listeners:
                    listener.tell(event)
            if await self._server_stops_within(LOOK_EVERY_S):
                for listener in self._listeners:
                    listener.tell(None)
                return

    async def _look(self) -> str:
        try:
            await self._outage.check()
            return _event("change", digest_of(await self._desk.overview()))
        except Exception as error:
            if is_outage(error):
                self._outage.noticed()
            if not isinstance(error, HANDLED):
                log_unexpected(error, "the live events")
            return _event("unavailable", {"detail": answer_to(error).detail})

    async def _server_stops_within(self, wait_s: float) -> bool:
        """Whether the server has been told to stop. It waits for open streams, and tells them nothing."""
        for _ in range(round(wait_s / STOP_CHECK_S)):
            await asyncio.sleep(STOP_CHECK_S)
            if server_is_stopping():
                return True
        return False


def _event(kind: str, data: dict[str, Any]) -> str:
    # JSON escapes line ends, so a name can't begin an event of its own.
    return f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def server_is_stopping() -> bool:
    """Whether uvicorn, which handles the signals of this process, is on its way out."""
    handler = signal.getsignal(signal.SIGTERM)
    return bool(getattr(getattr(handler, "__self__", None), "should_exit", False))


class EventStream(StreamingResponse):
    """The answer that goes on as long as somebody listens."""

    media_type = "text/event-stream"

    def __init__(self, events: Events) -> None:
        events.check_room()
        super().__init__(iter(()), headers={"X-Accel-Buffering": "no"})
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Stream until the client leaves, or the server."""
        with self._events.joined() as listener:
            self.body_iterator = self._events.stream(listener)
            await super().__call__(scope, receive, send)
