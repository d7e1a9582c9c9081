"""The dashboard inside of another application, at a path of that one's."""

from __future__ import annotations

import signal
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from forthwith.web import Credentials
from tests.app.relay import running_relay
from tests.support.waiting import wait_until_sync
from tests.web.conftest import HASH, HERE, client_of
from tests.web.own_process import DEADLINE_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from forthwith.web.asgi import Dashboard

    Make = Callable[..., Dashboard]


def in_fastapi(board: Dashboard) -> Any:
    outer = FastAPI()
    outer.mount("/inner/jobs", board)
    return outer


def in_starlette(board: Dashboard) -> Any:
    return Starlette(routes=[Mount("/inner", Starlette(routes=[Mount("/jobs", board)]))])


@pytest.mark.parametrize("mounted", [in_fastapi, in_starlette])
async def test_mounted_dashboard_stays_below_its_path(
    make_dashboard: Make, mounted: Callable[[Dashboard], Any]
) -> None:
    board = make_dashboard(credentials=Credentials.parse(f"ada operator {HASH}"))
    async with client_of(mounted(board)) as client:
        assert (await client.get("/inner/jobs/api/queues")).status_code == 401
        refused = await client.get("/inner/jobs/queues")
        assert refused.headers["location"] == "/inner/jobs/login?next=%2Fqueues"
        entered = await client.post(
            "/inner/jobs/login",
            data={"name": "ada", "password": "correct horse", "next": "/queues"},
        )
        assert entered.headers["location"] == "/inner/jobs/queues"
        assert "Path=/inner/jobs;" in entered.headers["set-cookie"]
        assert (await client.get("/inner/jobs/api/queues")).json() == []
        document = (await client.get("/inner/jobs/api/openapi.json")).json()
        assert document["servers"] == [{"url": "/inner/jobs"}]
        assert (await client.get("/inner/jobs/api/nowhere")).status_code == 404


async def test_outer_application_closes_it_in_its_lifespan(make_dashboard: Make) -> None:
    board = make_dashboard(open_to_all="viewer")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with board:
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/jobs", board)
    async with client_of(outer) as client:
        async with lifespan(outer):
            assert (await client.get("/jobs/api/queues")).status_code == 200
        async with lifespan(outer):
            assert (await client.get("/jobs/api/queues")).status_code == 200, "it opens again"


async def test_websockets_are_refused(make_dashboard: Make) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is awaited")

    board = make_dashboard(open_to_all="viewer")
    await board({"type": "websocket", "path": "/events", "headers": []}, receive, send)

    assert sent == [{"type": "websocket.close", "code": 1000}]


def test_reference_application_has_one_and_stops_while_somebody_listens(
    database_url: str, tmp_path: Path
) -> None:
    with running_relay(database_url, tmp_path) as relay:
        service = relay.service
        assert service.get("/dashboard/api/overview").status_code == 200
        strange = service.get("/dashboard/api/overview", headers={"Host": "evil.example"})
        assert strange.status_code == 400
        assert service.get("/health", headers={"Host": "evil.example"}).status_code == 200
        refused = service.post("/dashboard/api/queues/webhooks/pause")
        paused = service.post("/dashboard/api/queues/webhooks/pause", headers=HERE)
        assert (refused.status_code, paused.json()) == (403, {"changed": True})
        with httpx.stream(
            "GET", f"{relay.service.base_url}/dashboard/events", timeout=DEADLINE_S
        ) as stream:
            lines = stream.iter_lines()
            assert "event: change" in (next(lines) for _ in range(10))

            began = time.monotonic()
            relay.service_process.process.send_signal(signal.SIGTERM)
            wait_until_sync(lambda: relay.service_process.process.poll() is not None, DEADLINE_S)
            assert time.monotonic() - began < DEADLINE_S / 2
            list(lines)
