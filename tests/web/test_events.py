"""Live events: one look for all who listen, news alone, an end when the server ends."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest

from forthwith.errors import DatabaseUnavailable
from forthwith.operations import Desk, Overview, QueueState
from forthwith.web import events as module
from forthwith.web import outage
from forthwith.web.events import Events, EventStream
from forthwith.web.outage import Outage
from forthwith.web.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from forthwith.database.database import Database

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MAIL = QueueState(
    name="mail",
    paused_at=None,
    ready=1,
    blocked=0,
    scheduled=0,
    running=0,
    failed_last_hour=0,
    ended_per_minute=0.0,
    oldest_waiting_at=None,
    listeners=1,
    is_exact=True,
)
DEADLINE_S = 20.0


class FakeDesk:
    """Answers what it is told to, and counts how often it is asked; its own database, to be probed."""

    def __init__(self) -> None:
        self.asked = 0
        self.queue = MAIL
        self.error: Exception | None = None

    async def connect(self, **_: object) -> FakeDesk:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self

    async def close(self) -> None: ...

    async def overview(self) -> Overview:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return Overview(NOW, [self.queue], workers=[], errors=[], history=[], findings=[])


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look more often than once a second."""
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(module, "STOP_CHECK_S", 0.01)
    monkeypatch.setattr(outage, "PROBE_EVERY_S", 0)


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def events(desk: FakeDesk) -> AsyncIterator[Events]:
    events = Events(cast("Desk", desk), Outage(cast("Database", desk)), streams_max=3)
    yield events
    await events.stop()


@contextmanager
def listening(events: Events) -> Iterator[AsyncIterator[str]]:
    with events.joined() as listener:
        yield events.stream(listener)


async def next_event(stream: AsyncIterator[str]) -> tuple[str, dict[str, Any]]:
    """Return the kind and the data of the next event that is one."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            text = await anext(stream)
            if text.startswith("event: "):
                kind, data, *_ = text.split("\n")
                return kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def rest(stream: AsyncIterator[str]) -> list[str]:
    async with asyncio.timeout(DEADLINE_S):
        return [text async for text in stream]


async def test_overview_comes_at_once_and_again_when_it_has_changed(
    events: Events, desk: FakeDesk, wait_until: Callable[..., Any]
) -> None:
    with listening(events) as stream:
        kind, data = await next_event(stream)
        assert (kind, data["totals"]["ready"]) == ("change", 1)
        assert data["queues"][0]["name"] == "mail"

        asked = desk.asked
        await wait_until(lambda: desk.asked > asked + 5)
        desk.queue = replace(MAIL, ready=2)

        assert (await next_event(stream))[1]["totals"]["ready"] == 2  # and not five times the first


async def test_all_who_listen_share_a_look(
    events: Events, desk: FakeDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY_S", 3600)
    with listening(events) as one, listening(events) as two, listening(events) as three:
        assert await next_event(one) == await next_event(two) == await next_event(three)
        assert desk.asked == 1


async def test_who_comes_later_is_told_the_latest(events: Events, desk: FakeDesk) -> None:
    with listening(events) as one:
        first = await next_event(one)
        with listening(events) as two:
            assert await next_event(two) == first


async def test_nobody_looks_when_nobody_listens(
    events: Events, desk: FakeDesk, wait_until: Callable[..., Any]
) -> None:
    assert desk.asked == 0
    with listening(events) as stream:
        await next_event(stream)
    await wait_until(lambda: events._refresher is not None and events._refresher.done())
    asked = desk.asked
    desk.queue = replace(MAIL, ready=7)

    with listening(events) as stream:
        assert (await next_event(stream))[1]["totals"]["ready"] == 7
    assert desk.asked > asked


async def test_missing_database_is_told_once_and_then_that_it_is_back(
    events: Events, desk: FakeDesk, wait_until: Callable[..., Any]
) -> None:
    desk.error = DatabaseUnavailable("connection to 10.0.0.1 failed")
    with listening(events) as stream:
        kind, data = await next_event(stream)
        assert (kind, "10.0.0.1" in data["detail"]) == ("unavailable", False)
        asked = desk.asked
        await wait_until(lambda: desk.asked > asked + 5)
        desk.error = None

        assert (await next_event(stream))[0] == "change"


async def test_look_survives_what_nobody_expected(
    events: Events, desk: FakeDesk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.error = RuntimeError("hunter2")
    with listening(events) as stream:
        assert (await next_event(stream))[0] == "unavailable"
        desk.error = None
        assert (await next_event(stream))[0] == "change"

    assert "RuntimeError in the live events" in caplog.text


async def test_streams_are_counted(events: Events) -> None:
    with listening(events), listening(events):
        with listening(events):
            assert events.streams == 3
            with pytest.raises(ProblemError) as caught:
                EventStream(events)
            assert caught.value.status == 503
            assert caught.value.headers == {"Retry-After": "30"}
        EventStream(events)
    assert events.streams == 0


async def test_quiet_stream_gives_signs_of_life_and_ends_at_its_time(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.01)
    monkeypatch.setattr(module, "STREAM_S", 0.3)
    with listening(events) as stream:
        texts = await rest(stream)

    assert texts[0] == "retry: 2000\n\n"
    assert ": still here\n\n" in texts
    assert len([text for text in texts if text.startswith("event: change")]) == 1


async def test_streams_end_when_they_are_told_to(events: Events) -> None:
    with listening(events) as stream:
        await next_event(stream)
        await events.stop()
        assert await rest(stream) == []


async def test_streams_end_when_the_server_is_told_to(
    events: Events, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Server:
        should_exit = False

        def handle_exit(self) -> None: ...

    server = Server()
    monkeypatch.setattr(signal, "getsignal", lambda _: server.handle_exit)
    with listening(events) as stream:
        await next_event(stream)
        assert not module.server_is_stopping()
        server.should_exit = True

        assert await rest(stream) == []


async def test_names_cannot_begin_an_event_of_their_own(events: Events, desk: FakeDesk) -> None:
    name = "x\n\nevent: change\ndata: {}\r\n\u2028<script>"
    desk.queue = replace(MAIL, name=name)
    with listening(events) as stream:
        await anext(stream)
        text = await anext(stream)

    assert text.count("event: change\n") == 1
    assert text.count("\n") == 3
    assert json.loads(text.split("\n")[1].removeprefix("data: "))["queues"][0]["name"] == name


async def test_client_that_leaves_is_no_longer_counted(events: Events) -> None:
    left = asyncio.Event()
    sent: list[Any] = []

    async def receive() -> dict[str, str]:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)
        if b"event: change" in message.get("body", b""):
            left.set()

    scope = {"type": "http", "asgi": {"spec_version": "2.3"}}
    async with asyncio.timeout(DEADLINE_S):
        await EventStream(events)(scope, receive, send)

    assert sent[0]["status"] == 200
    assert (b"content-type", b"text/event-stream; charset=utf-8") in sent[0]["headers"]
    assert events.streams == 0
