"""A sleeping worker is woken by whatever makes a job ready in its queue, not only by a defer."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

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


@pytest.mark.parametrize("way", ["one", "batch"])
async def test_what_an_open_transaction_deferred_before_a_worker_fell_asleep_is_found_after_its_commit(
    way: str,
    app: forthwith.App,
    connection: psycopg.AsyncConnection[Any],
    database_url: str,
    wait_until: WaitUntil,
) -> None:
    ran: list[str] = []

    @app.task(name="work")
    async def work() -> None:
        ran.append("work")

    async with await psycopg.AsyncConnection.connect(database_url) as theirs:
        if way == "one":
            await work.configure(connection=theirs).defer_async()
        else:
            await work.configure(connection=theirs).batch_defer_async({})
        async with worker(app, "default"):
            await wait_until(lambda: sleepers(connection))
            await asyncio.sleep(0.3)  # it has looked for the last time, and is fast asleep
            assert ran == []
            await theirs.commit()
            await wait_until(lambda: ran == ["work"])
            await wait_until(lambda: _has_no_open_defers(connection))


@pytest.mark.parametrize(
    ("isolation", "asleep", "notified"),
    [
        ("read committed", False, False),
        ("read committed", True, True),
        ("repeatable read", False, True),  # its snapshot may be older than somebody's sleep
        ("serializable", False, True),
    ],
)
@pytest.mark.parametrize("way", ["one", "batch"])
async def test_transaction_notifies_where_somebody_may_sleep_and_nowhere_else(
    way: str,
    isolation: str,
    asleep: bool,
    notified: bool,
    app: forthwith.App,
    connection: psycopg.AsyncConnection[Any],
    database_url: str,
) -> None:
    await connection.execute("listen forthwith_wake")
    await connection.execute(
        "insert into forthwith.worker (lease_expires_at, pid, concurrency, name, host, sleeping)"
        " values (now(), 1, 1, 'w', 'h', %s)",
        [asleep],
    )
    async with await psycopg.AsyncConnection.connect(database_url) as theirs:
        await theirs.execute(f"set transaction isolation level {isolation}".encode())
        work = app.configure_task("work", connection=theirs)
        await (work.defer_async() if way == "one" else work.batch_defer_async({}, {}))
    await connection.execute("select pg_notify('forthwith_wake', 'the last')")
    heard = []
    async for notification in connection.notifies():
        heard.append(notification.payload)
        if notification.payload == "the last":
            break
    assert heard == (["queue:default"] if notified else []) + ["the last"]


async def _has_no_open_defers(connection: psycopg.AsyncConnection[Any]) -> bool:
    cursor = await connection.execute("select forthwith.has_open_defers()")
    return await cursor.fetchone() == (False,)


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
