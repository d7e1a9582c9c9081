"""What the dashboard tells Prometheus: what is in the database."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx

import forthwith
from forthwith.web import dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def asking(app: forthwith.App) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a dashboard that everybody may read."""
    async with dashboard(app, open_to_all="viewer") as served:
        transport = httpx.ASGITransport(served)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield client


async def test_waiting_jobs_are_told(app: forthwith.App) -> None:
    await app.configure_task("send", queue="mail").batch_defer_async({}, {})
    await app.configure_task("send", queue="mail", schedule_in={"hours": 1}).defer_async()
    await app.configure_task("count", queue="mail").defer_async()
    async with asking(app) as client:
        answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert 'forthwith_jobs{queue="mail",state="ready",task="send"} 2.0' in answer.text
    assert 'forthwith_jobs{queue="mail",state="scheduled",task="send"} 1.0' in answer.text
    assert 'forthwith_jobs{queue="mail",state="ready",task="count"} 1.0' in answer.text
    assert 'forthwith_workers{state="live"} 0.0' in answer.text


async def test_health_is_told(app: forthwith.App) -> None:
    async with asking(app) as client:
        for path, text in (("/health/live", "live\n"), ("/health/ready", "ready\n")):
            answer = await client.get(path)
            assert (answer.status_code, answer.text) == (200, text)


async def test_database_that_is_gone_is_told(app: forthwith.App) -> None:
    broken = forthwith.App("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")
    async with asking(broken) as client:
        assert (await client.get("/health/live")).status_code == 200
        for path in ("/health/ready", "/metrics"):
            assert (await client.get(path)).status_code == 503
