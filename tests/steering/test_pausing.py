"""A paused queue: nothing of it starts, whatever was claimed before; and all of it runs once resumed."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import forthwith
from forthwith.errors import ForthwithError, InvalidArgument
from tests.support.workers import count, run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    WaitUntil = Callable[..., Awaitable[Any]]

NEVER_S = 600.0
HOSTILE = ["it's; drop table job --", 'a "queue"', "pause:mail", "ünï\ncode\t", "q" * 128, "%s{}\\"]


def declare(app: forthwith.App, ran: list[int]) -> Any:
    """A task that notes that it ran."""

    @app.task(name="note")
    async def note(number: int) -> None:
        ran.append(number)

    return note


async def sleeps(connection: psycopg.AsyncConnection[Any]) -> bool:
    cursor = await connection.execute("select from forthwith.worker where sleeping")
    return cursor.rowcount == 1


async def test_jobs_of_a_paused_queue_wait_and_others_run(app: forthwith.App) -> None:
    ran: list[int] = []
    note = declare(app, ran)
    assert await app.pause_queue_async("mail")
    await note.configure(queue="mail").batch_defer_async(*({"number": n} for n in range(5)))
    await note.defer_async(number=99)
    await run_until_idle(app)  # a worker that does not wait ends, although jobs are left
    assert ran == [99]
    assert await count(app, "todo") == 5
    assert await app.resume_queue_async("mail")
    await run_until_idle(app)
    assert ran == [99, 0, 1, 2, 3, 4]


async def test_pausing_says_whether_it_changed_anything_and_since_when(app: forthwith.App) -> None:
    assert await app.paused_queues_async() == {}
    assert await app.pause_queue_async("mail") is True
    assert await app.pause_queue_async("mail") is False
    paused = await app.paused_queues_async()
    assert list(paused) == ["mail"]
    since = datetime.datetime.now(tz=datetime.UTC) - paused["mail"]
    assert abs(since) < datetime.timedelta(minutes=1)
    assert await app.resume_queue_async("mail") is True
    assert await app.resume_queue_async("mail") is False
    assert await app.paused_queues_async() == {}


def test_pausing_synchronously(database_url: str) -> None:
    with forthwith.App(database_url).open() as app:
        assert app.pause_queue("mail")
        assert list(app.paused_queues()) == ["mail"]
        assert app.resume_queue("mail")
        assert app.paused_queues() == {}


@pytest.mark.parametrize("queue", HOSTILE)
async def test_any_queue_name_can_be_paused(
    app: forthwith.App, queue: str, wait_until: WaitUntil
) -> None:
    ran: list[int] = []
    note = declare(app, ran)
    await app.pause_queue_async(queue)
    await note.configure(queue=queue).defer_async(number=1)
    await note.configure(queue="mail").defer_async(number=2)
    async with running_worker(app, queues=[queue, "mail"]):
        await wait_until(lambda: ran == [2])
        assert list(await app.paused_queues_async()) == [queue]
        await app.resume_queue_async(queue)
        await wait_until(lambda: ran == [2, 1])


@pytest.mark.parametrize("queue", ["", "q" * 129, "a\0b", None, 7, "\ud800"])
async def test_what_names_no_queue_is_refused(app: forthwith.App, queue: Any) -> None:
    with pytest.raises(InvalidArgument, match="queue"):
        await app.pause_queue_async(queue)
    with pytest.raises(InvalidArgument, match="queue"):
        await app.resume_queue_async(queue)


async def test_claimed_jobs_that_have_not_started_are_given_back_and_what_runs_goes_on(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    started: list[int] = []
    go_on = asyncio.Event()

    @app.task(name="hold", queue="mail")
    async def hold(number: int) -> None:
        started.append(number)
        await go_on.wait()

    async def claimed() -> int:
        cursor = await connection.execute("select from forthwith.job where worker_id is not null")
        return cursor.rowcount

    await hold.batch_defer_async(*({"number": number} for number in range(20)))
    # It polls for nothing: all that it learns of the pause is the notification.
    async with running_worker(
        app,
        concurrency=2,
        fetch_job_polling_interval=NEVER_S,
        abort_job_polling_interval=NEVER_S,
    ):
        await wait_until(lambda: len(started) == 2)
        await app.pause_queue_async("mail")

        async def only_those_that_run() -> bool:
            return await claimed() == 2

        await wait_until(only_those_that_run)
        go_on.set()

        async def ended() -> bool:
            return await count(app, "succeeded") == 2

        await wait_until(ended)
        assert len(started) == 2
        assert await count(app, "todo") == 18
        await app.resume_queue_async("mail")

        async def all_ended() -> bool:
            return await count(app, "succeeded") == 20

        await wait_until(all_ended)
    assert sorted(started) == list(range(20))
    cursor = await connection.execute("select distinct attempts from forthwith.finished_job")
    assert await cursor.fetchall() == [(1,)]


async def test_a_worker_that_hears_nothing_learns_of_a_pause_by_polling(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    started = asyncio.Event()
    go_on = asyncio.Event()

    @app.task(name="hold", queue="mail")
    async def hold() -> None:
        started.set()
        await go_on.wait()

    async def claimed() -> int:
        cursor = await connection.execute("select from forthwith.job where worker_id is not null")
        return cursor.rowcount

    async def is_alone() -> bool:
        return await claimed() == 1

    await hold.batch_defer_async(*([{}] * 10))
    async with running_worker(app, listen_notify=False, abort_job_polling_interval=0.2):
        await started.wait()
        await connection.execute("insert into forthwith.queue_pause values ('mail')")
        await wait_until(is_alone)
        go_on.set()


async def test_resuming_wakes_a_sleeping_worker(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    ran: list[int] = []
    note = declare(app, ran)
    await app.pause_queue_async("mail")
    await note.configure(queue="mail").defer_async(number=1)
    async with running_worker(app, fetch_job_polling_interval=NEVER_S):
        await wait_until(lambda: sleeps(connection))
        assert ran == []
        await app.resume_queue_async("mail")
        await wait_until(lambda: ran == [1])


async def test_a_claim_that_was_on_its_way_when_its_queue_was_paused_starts_nothing(
    app: forthwith.App,
    connection: psycopg.AsyncConnection[Any],
    database_url: str,
    wait_until: WaitUntil,
) -> None:
    ran: list[int] = []
    note = declare(app, ran)
    async with running_worker(app, queues=["mail"]):
        await wait_until(lambda: sleeps(connection))
        async with await psycopg.AsyncConnection.connect(database_url) as other:
            # Its claim waits for its own row, with a snapshot from before the pause.
            await other.execute("select from forthwith.worker for update")
            await note.configure(queue="mail").defer_async(number=1)

            async def claim_waits() -> bool:
                cursor = await connection.execute(
                    "select from pg_stat_activity where wait_event_type = 'Lock'"
                    " and query like '-- Claim up to%' and datname = current_database()"
                )
                return cursor.rowcount == 1

            await wait_until(claim_waits)
            cursor = await connection.execute(
                "insert into forthwith.queue_pause values ('mail')"
                " returning pg_notify('forthwith_wake', 'pause:mail')"
            )
            assert cursor.rowcount == 1

            async def asked() -> bool:
                cursor = await connection.execute(
                    "select from pg_stat_activity where query like '-- The paused queues%'"
                    " and state = 'idle' and datname = current_database()"
                    " and query_start > (select paused_at from forthwith.queue_pause)"
                )
                return cursor.rowcount == 1

            await wait_until(asked)

        async def given_back() -> bool:
            cursor = await connection.execute(
                "select from forthwith.job where worker_id is null and lease_token = 2"
            )
            return cursor.rowcount == 1

        await wait_until(given_back)
        assert ran == []


async def test_head_of_a_line_in_a_paused_queue_holds_up_the_line(app: forthwith.App) -> None:
    ran: list[int] = []
    note = declare(app, ran)
    await app.pause_queue_async("mail")
    await note.configure(queue="mail", lock="one").defer_async(number=1)
    await note.configure(queue="other", lock="one").defer_async(number=2)
    await note.configure(queue="other", lock="two").defer_async(number=3)
    await run_until_idle(app)
    assert ran == [3]
    await app.resume_queue_async("mail")
    await run_until_idle(app)
    assert ran == [3, 1, 2]


async def test_job_with_its_last_chance_waits_in_a_paused_queue(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any]
) -> None:
    ran: list[int] = []
    note = declare(app, ran)
    job_id = await note.configure(queue="mail").defer_async(number=1)
    await connection.execute("update forthwith.job set crashes = 2, state = 'suspect'")
    await app.pause_queue_async("mail")
    await run_until_idle(app)
    assert await status(app, job_id) == "todo"
    await app.resume_queue_async("mail")
    await run_until_idle(app)
    assert ran == [1]


async def test_an_app_in_memory_says_that_it_cannot_pause() -> None:
    from procrastinate.testing import InMemoryConnector

    app = forthwith.App(connector=InMemoryConnector())
    with pytest.raises(ForthwithError, match="PostgreSQL"):
        await app.pause_queue_async("mail")


def declare_clock(app: forthwith.App, ticks: list[int]) -> Any:
    """A task that notes the seconds at which it is deferred."""

    @app.periodic(cron="* * * * * *", periodic_id="each second", queue="clocks")
    @app.task(name="clock")
    async def clock(timestamp: int) -> None:
        ticks.append(timestamp)

    return clock


async def test_workers_note_their_periodic_tasks(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    declare_clock(app, [])

    async def noted() -> list[Any]:
        query = "select task, periodic_id, cron, queue, paused_at from forthwith.periodic_task"
        return await (await connection.execute(query)).fetchall()

    async with running_worker(app):
        await wait_until(noted)
    assert await noted() == [("clock", "each second", "* * * * * *", "clocks", None)]


async def test_ticks_of_a_paused_periodic_task_pass_by(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    ticks: list[int] = []
    clock = declare_clock(app, ticks)
    assert await app.pause_periodic_async(clock, "each second") is True
    assert await app.pause_periodic_async("clock", "each second") is False

    async def passed() -> list[tuple[int]]:
        query = "select defer_timestamp from forthwith.periodic_defer where job_id is null"
        return await (await connection.execute(query)).fetchall()

    async def two_passed() -> bool:
        return len(await passed()) >= 2

    async with running_worker(app):
        await wait_until(two_passed)
        assert ticks == []
        assert await app.resume_periodic_async(clock, "each second") is True
        await wait_until(lambda: len(ticks) >= 2)
    assert await app.resume_periodic_async(clock, "each second") is False
    assert not set(ticks) & {timestamp for (timestamp,) in await passed()}


async def test_pause_of_a_periodic_task_survives_a_worker_that_notes_it_again(
    app: forthwith.App,
) -> None:
    declare_clock(app, [])
    await app.pause_periodic_async("clock", "each second")
    await app.note_periodic_tasks_async()
    assert await app.pause_periodic_async("clock", "each second") is False


async def test_unknown_periodic_task_is_refused(app: forthwith.App) -> None:
    declare_clock(app, [])
    with pytest.raises(InvalidArgument, match="periodic_id ''"):
        await app.pause_periodic_async("clock")
    with pytest.raises(InvalidArgument, match="no worker knows"):
        await app.resume_periodic_async("other", "each second")
    wrong: Any
    for wrong in ("", None, 3):
        with pytest.raises(InvalidArgument, match="task"):
            await app.pause_periodic_async(wrong, "each second")
    for wrong in (None, 3, "a\0b"):
        with pytest.raises(InvalidArgument, match="periodic_id"):
            await app.pause_periodic_async("clock", wrong)


def test_pausing_periodic_tasks_synchronously(database_url: str) -> None:
    with forthwith.App(database_url).open() as app:
        declare_clock(app, [])
        assert app.pause_periodic("clock", "each second") is True
        assert app.resume_periodic("clock", "each second") is True


async def test_workers_say_what_they_know_and_how_many_jobs_they_run(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    go_on = asyncio.Event()

    @app.task(name="hold", aliases=["held"])
    async def hold() -> None:
        await go_on.wait()

    async def runs_three() -> list[tuple[list[str]]]:
        query = "select tasks from forthwith.worker where running = 3"
        return await (await connection.execute(query)).fetchall()

    await hold.batch_defer_async(*([{}] * 3))
    async with running_worker(app, concurrency=5, update_heartbeat_interval=0.1):
        [(tasks,)] = await wait_until(runs_three)
        assert {"hold", "held", "builtin:procrastinate.builtin_tasks.remove_old_jobs"} <= set(tasks)
        go_on.set()
