"""Anybody who can connect can say that a queue is paused: it only makes workers ask."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from forthwith.engine.pauser import REST_S
from forthwith.store.postgres import PostgresStore
from tests.support.workers import running_worker

if TYPE_CHECKING:
    import psycopg
    import pytest

    import forthwith

    Connection = psycopg.AsyncConnection[Any]

PAYLOADS = [
    "pause:default",
    "pause:",
    "pause",
    "pause:" + "x" * 5000,
    "pause:pause:",
    "pause:\t%s'",
]


async def test_false_pauses_are_asked_about_at_our_own_pace_and_stop_nothing(
    app: forthwith.App,
    connection: Connection,
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Any,
) -> None:
    asked, ran = [0], [0]
    paused_queues = PostgresStore.paused_queues

    async def counted(store: PostgresStore) -> list[str]:
        asked[0] += 1
        return await paused_queues(store)

    monkeypatch.setattr(PostgresStore, "paused_queues", counted)

    @app.task(name="note")
    async def note() -> None:
        ran[0] += 1
        await asyncio.sleep(0.001)

    started_s = time.monotonic()
    await note.batch_defer_async(*([{}] * 300))
    async with running_worker(app):
        for number in range(300):
            payload = PAYLOADS[number % len(PAYLOADS)]
            await connection.execute("select pg_notify('forthwith_wake', %s)", [payload])
        await wait_until(lambda: ran[0] == 300)
        assert 1 <= asked[0] <= (time.monotonic() - started_s) / REST_S + 5
