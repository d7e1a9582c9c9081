"""A sleeping worker is woken by whatever makes a job ready in its queue, not only by a defer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import psycopg

    import forthwith

    WaitUntil = Callable[..., Awaitable[Any]]

NEVER_S = 600.0


@asynccontextmanager
async def worker(app: forthwith.App, queue: str, **options: Any) -> AsyncIterator[None]:
    """Run a worker that does not poll, in this event loop; stop it at the end."""
    running = asyncio.create_task(
        app.run_worker_async(
            queues=[queue],
            fetch_job_polling_interval=NEVER_S,
            install_signal_handlers=False,
            **options,
        )
    )
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def sleepers(connection: psycopg.AsyncConnection[Any]) -> int:
    """How many workers wait to be notified."""
    cursor = await connection.execute("select count(*) from forthwith.worker where sleeping")
    [(count,)] = await cursor.fetchall()
    return int(count)


async def test_next_in_line_is_woken_in_another_queue(
    app: forthwith.App,
    connection: psycopg.AsyncConnection[Any],
    wait_until: WaitUntil,
) -> None:
    let_go = asyncio.Event()
    ran: list[str] = []

    @app.task(name="first", lock="line", queue="a")
    async def first() -> None:
        ran.append("first")
        await let_go.wait()

    @app.task(name="second", lock="line", queue="b")
    async def second() -> None:
        ran.append("second")

    async with worker(app, "a"), worker(app, "b"):
        await wait_until(lambda: sleepers(connection))
        await first.defer_async()
        await wait_until(lambda: ran == ["first"])
        waiting = await second.defer_async()
        await wait_until(lambda: _is_blocked(connection, waiting))
        let_go.set()
        await wait_until(lambda: ran == ["first", "second"])


async def test_what_a_leaving_worker_gives_back_wakes_another(
    app: forthwith.App,
    connection: psycopg.AsyncConnection[Any],
    wait_until: WaitUntil,
) -> None:
    runs: list[int] = []

    @app.task(name="endless")
    async def endless() -> None:
        runs.append(len(runs) + 1)
        if len(runs) == 1:
            await asyncio.Event().wait()

    async with worker(app, "default", shutdown_graceful_timeout=0):
        await endless.defer_async()
        await wait_until(lambda: runs == [1])
        other = worker(app, "default")
        await other.__aenter__()
        await wait_until(lambda: _second_sleeps(connection))
    await wait_until(lambda: runs == [1, 2])
    await other.__aexit__(None, None, None)


async def _is_blocked(connection: psycopg.AsyncConnection[Any], job_id: int) -> bool:
    cursor = await connection.execute(
        "select state = 'blocked' from forthwith.job where id = %s", [job_id]
    )
    [(is_blocked,)] = await cursor.fetchall()
    return bool(is_blocked)


async def _second_sleeps(connection: psycopg.AsyncConnection[Any]) -> bool:
    cursor = await connection.execute("select sleeping from forthwith.worker order by id")
    rows = await cursor.fetchall()
    return len(rows) == 2 and bool(rows[1][0])
