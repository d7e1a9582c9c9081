"""While the database is away, the dashboard says so at once; and it goes on when it is back."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from forthwith import App
from forthwith.verify.proxy import Proxy
from forthwith.web import dashboard
from forthwith.web.outage import PROBE_EVERY_S
from tests.web.conftest import client_of

if TYPE_CHECKING:
    from collections.abc import Callable

# A pool alone would keep each of the questions waiting for ten seconds.
ALL_OF_THEM_S = 35.0
QUESTIONS = ("queues", "jobs", "workers", "jobs/1", "queues", "overview", "tasks")


async def test_outage_keeps_nobody_waiting(
    database_url: str, wait_until: Callable[..., Any]
) -> None:
    with Proxy(database_url) as proxy:
        app = App(proxy.conninfo)
        async with dashboard(app, open_to_all="operator") as board, client_of(board) as client:

            async def status(question: str = "queues") -> int:
                return (await client.get(f"/api/{question}")).status_code

            assert await status() == 200
            proxy.refuse = True
            proxy.cut()
            began = time.monotonic()
            assert {await status(question) for question in QUESTIONS} == {503}
            assert set(await asyncio.gather(*map(status, QUESTIONS))) == {503}
            assert time.monotonic() - began < ALL_OF_THEM_S

            proxy.refuse = False

            async def is_back() -> bool:
                return await status() == 200

            await wait_until(is_back, poll_s=PROBE_EVERY_S / 2)
            assert await status("overview") == 200
        await app.close_async()


async def test_page_tries_again_by_itself_until_the_database_is_back(database_url: str) -> None:
    with Proxy(database_url) as proxy:
        app = App(proxy.conninfo)
        async with dashboard(app, open_to_all="operator") as board, client_of(board) as client:
            proxy.refuse = True
            proxy.cut()
            away = await client.get("/queues")
            assert away.status_code == 503
            assert '<meta http-equiv="refresh" content="5">' in away.text
            assert "The database cannot be reached." in away.text
            assert '<a href="/health"' in away.text
            deed = await client.post("/queues/pause", data={"queue": "mail"})
            assert deed.status_code == 503
            assert "refresh" not in deed.text  # it would be asked for, not sent
        await app.close_async()
