"""What anybody who can connect or defer may send: notifications, tasks' names, arguments."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.engine.aborter import PAUSE_S
from forthwith.engine.claimer import FRUITLESS_MAX, HINTS_MAX, LOOK_INTERVAL_S, Claimer
from forthwith.store.postgres import PostgresStore
from tests.support.roles import column
from tests.support.workers import run_until_idle, running_worker, status

if TYPE_CHECKING:
    import psycopg

    import forthwith

    Connection = psycopg.AsyncConnection[Any]

FLOOD = 50_000
NOTIFY = (
    "select count(pg_notify('forthwith_wake', %s || number)) from generate_series(1, %s) number"
)


class Watched:
    """The claimer of a worker, and how often the worker asked the database for what."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.claimer: Any = None
        self.asked = {"look": 0, "claim": 0, "share_out": 0, "abort_requested": 0}
        self.most_queues = 0
        run = Claimer.run

        async def watched_run(claimer: Claimer) -> None:
            self.claimer = claimer
            await run(claimer)

        monkeypatch.setattr(Claimer, "run", watched_run)
        for name in self.asked:
            monkeypatch.setattr(PostgresStore, name, self._counting(name))

    def _counting(self, name: str) -> Any:
        original = getattr(PostgresStore, name)

        async def counted(store: PostgresStore, *positional: Any, **named: Any) -> Any:
            self.asked[name] += 1
            if name in ("claim", "share_out"):
                self.most_queues = max(self.most_queues, len(positional[0]))
            return await original(store, *positional, **named)

        return counted


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """What the test's worker does."""
    return Watched(monkeypatch)


def declare(app: forthwith.App) -> Any:
    """Declare a task that notes its runs; return its notes."""
    ran: list[int] = []

    @app.task(name="note")
    async def note(number: int) -> None:
        ran.append(number)

    return ran


async def flood(connection: Connection, prefix: str, seconds: float) -> int:
    """Notify of names that nobody has, never twice of the same; return how many."""
    sent, end_s = 0, time.monotonic() + seconds
    while time.monotonic() < end_s:
        await connection.execute(NOTIFY.encode(), [f"{prefix}{sent}-", FLOOD])
        sent += FLOOD
    return sent


@pytest.mark.parametrize("queues", [None, ["default"]])
async def test_flood_of_queues_costs_neither_memory_nor_statements(
    app: forthwith.App,
    connection: Connection,
    watched: Watched,
    wait_until: Any,
    record_figure: Any,
    queues: list[str] | None,
) -> None:
    ran = declare(app)
    number = 0
    # Behind a flood of others' names its own notification may come late: polling covers that.
    async with running_worker(app, queues=queues, fetch_job_polling_interval=1.0):
        await wait_until(
            lambda: column(connection, "select 1 from forthwith.worker where sleeping")
        )
        started_s = time.monotonic()
        flooding = asyncio.create_task(flood(connection, "queue:", 4.0))
        while not flooding.done():
            number += 1
            await app.configure_task("note").defer_async(number=number)
            await wait_until(lambda: ran[-1:] == [number])  # noqa: B023
            assert len(watched.claimer._hinted_queues) <= HINTS_MAX
            assert len(watched.claimer._ready_queues) <= 2 * HINTS_MAX + 1
        elapsed_s, looks = time.monotonic() - started_s, watched.asked["look"]
        record_figure("notifications", await flooding, "")
        record_figure("jobs run meanwhile", number, "")
    assert ran == list(range(1, number + 1))
    assert watched.most_queues <= 2 * HINTS_MAX + 1
    # A look for each interval, and for each job the few that are not yet fruitless.
    looks_max = elapsed_s / LOOK_INTERVAL_S + (number + 1) * (FRUITLESS_MAX + 2)
    assert looks <= looks_max


async def test_flood_of_fruitless_hints_is_followed_at_our_own_pace(
    app: forthwith.App, connection: Connection, watched: Watched, wait_until: Any
) -> None:
    declare(app)
    async with running_worker(app, fetch_job_polling_interval=600.0):
        await wait_until(
            lambda: column(connection, "select 1 from forthwith.worker where sleeping")
        )
        before, started_s = watched.asked["look"], time.monotonic()
        for number in range(1500):
            await connection.execute("select pg_notify('forthwith_wake', %s)", [f"queue:{number}"])
        elapsed_s, after = time.monotonic() - started_s, watched.asked["look"]
    assert after - before <= elapsed_s / LOOK_INTERVAL_S + FRUITLESS_MAX + 5


async def test_flood_of_aborts_is_followed_at_our_own_pace(
    app: forthwith.App, connection: Connection, watched: Watched, wait_until: Any
) -> None:
    @app.task(name="hang")
    async def hang() -> None:
        await asyncio.Event().wait()

    job_id = await hang.defer_async()
    async with running_worker(app):
        await wait_until(lambda: app.job_manager.list_jobs_async(status="doing"))
        before, started_s = watched.asked["abort_requested"], time.monotonic()
        for _ in range(1500):
            await connection.execute("notify forthwith_wake, 'abort'")
        elapsed_s = time.monotonic() - started_s
        asked = watched.asked["abort_requested"] - before
        assert asked <= elapsed_s / PAUSE_S + 2
        assert await status(app, job_id) == "doing"
        assert await app.job_manager.cancel_job_by_id_async(job_id, abort=True)
        await wait_until(lambda: app.job_manager.list_jobs_async(status="aborted"))


@pytest.mark.parametrize(
    "payload",
    [
        "",
        "queue:",
        "queue",
        "Queue:default",
        "abort ",
        "aborted",
        "queue:" + "x" * 7990,
        "queue:elsewhere",
        "queue:'; drop table forthwith.job; --",
        "queue:%s%(queues)s{}",
        "queue:\x1b[2J\n\r\t\u202e\U0010ffff",
        "{}",
    ],
)
async def test_garbage_is_nothing_to_a_worker(
    app: forthwith.App,
    connection: Connection,
    payload: str,
    caplog: pytest.LogCaptureFixture,
    wait_until: Any,
) -> None:
    ran = declare(app)
    async with running_worker(app, queues=["default", "q"]):
        await wait_until(
            lambda: column(connection, "select 1 from forthwith.worker where sleeping")
        )
        for _ in range(20):
            await connection.execute("select pg_notify('forthwith_wake', %s)", [payload])
        await app.configure_task("note").defer_async(number=1)
        await wait_until(lambda: ran == [1])
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


HOSTILE_NAMES = (
    "os.system",
    "builtins.eval",
    "subprocess:run",
    "antigravity.geohash",
    "this",
    "../../etc/passwd",
    "__main__.main",
    "note\x1b[31m",
    "\x1b]0;owned\x07",
    "fine\n2030-01-01 ERROR forthwith: forged",
    "%s%s%n%(task)s{0}{task.__globals__}",
    "'; drop table forthwith.job; --",
    "\u202etxt.exe",
    "é" * 5000,
    "",
    " note",
    "NOTE",
)


async def test_names_from_the_database_import_and_run_nothing(
    app: forthwith.App,
    connection: Connection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called: list[Any] = []
    monkeypatch.setattr(os, "system", called.append)
    ran = declare(app)
    for name in HOSTILE_NAMES:
        await connection.execute(
            "insert into forthwith.job (queue, task, state, args) values"
            " ('default', %s, 'ready', '{\"command\": \"true\", \"number\": 0}')",
            [name],
        )
    await app.configure_task("note").defer_async(number=1)
    modules = set(sys.modules)
    caplog.set_level(logging.INFO)

    await run_until_idle(app)

    assert ran == [1]
    assert called == []
    assert not {name for name in set(sys.modules) - modules if name in ("antigravity", "this")}
    left = "select task from forthwith.job where worker_id is null and attempts = 0 order by id"
    assert await column(connection, left) == list(HOSTILE_NAMES)
    messages = [record.getMessage() for record in caplog.records]
    assert sum("TaskNotFound" in message for message in messages) == len(HOSTILE_NAMES)
    assert [message for message in messages if not message.isprintable()] == []
    assert max(map(len, messages)) < 1000


async def test_many_unknown_names_are_not_all_logged(
    app: forthwith.App, connection: Connection, caplog: pytest.LogCaptureFixture
) -> None:
    ran = declare(app)
    await connection.execute(
        "insert into forthwith.job (queue, task, state)"
        " select 'default', 'unknown ' || number, 'ready' from generate_series(1, 2000) number"
    )
    await app.configure_task("note").defer_async(number=1)
    await run_until_idle(app, concurrency=50)
    assert ran == [1]
    assert sum("TaskNotFound" in record.getMessage() for record in caplog.records) == 101


@pytest.mark.parametrize(
    "arguments",
    ["[]", "5", "null", '"text"', "[" * 3000 + "]" * 3000, '{"number": 1e100000}', '{"self": 1}'],
    ids=lambda text: text[:20],
)
async def test_arguments_that_no_defer_writes_fail_their_job_alone(
    app: forthwith.App, connection: Connection, arguments: str
) -> None:
    ran = declare(app)
    [job_id] = await column(
        connection,
        "insert into forthwith.job (queue, task, state, args)"
        " values ('default', 'note', 'ready', %s::jsonb) returning id",
        arguments,
    )
    await app.configure_task("note").defer_async(number=1)
    await run_until_idle(app)
    assert await status(app, job_id) == "failed"
    assert ran == [1]
