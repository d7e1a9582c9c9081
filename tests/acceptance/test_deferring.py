"""Deferring: one job or many, sync or async, with every option, in one's own transaction."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from procrastinate import jobs

from forthwith.errors import AlreadyEnqueued, InvalidArgument
from tests.support.workers import count, run_until_idle, status

if TYPE_CHECKING:
    import forthwith

HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def send(app: forthwith.App) -> Any:
    @app.task(name="send", queue="mail")
    async def send(to: str = "", subject: str = "") -> None: ...

    return send


async def only_job(app: forthwith.App, job_id: int) -> jobs.Job:
    (job,) = await app.job_manager.list_jobs_async(id=job_id)
    return job


async def test_deferring_returns_the_id(app: forthwith.App, send: Any) -> None:
    first = await send.defer_async(to="ada")
    second = send.defer(to="bob")
    assert isinstance(first, int)
    assert second > first
    job = await only_job(app, second)
    assert (job.task_kwargs, job.queue, job.status) == ({"to": "bob"}, "mail", "todo")


async def test_batches_return_ids_in_order(app: forthwith.App, send: Any) -> None:
    pattern = send.configure(task_kwargs={"subject": "hi"}, priority=1)
    ids = await send.batch_defer_async({"to": "a"}, {"to": "b"})
    ids += send.batch_defer({"to": "c"}, {"to": "d"})
    ids += await pattern.batch_defer_async({"to": "e"})
    ids += pattern.batch_defer({"to": "f"})
    found = [(await only_job(app, job_id)).task_kwargs for job_id in ids]
    assert [kwargs["to"] for kwargs in found] == list("abcdef")
    assert found[-1] == {"subject": "hi", "to": "f"}
    assert send.batch_defer() == []
    assert await send.batch_defer_async() == []


async def test_a_configured_pattern_defers_many_jobs(app: forthwith.App, send: Any) -> None:
    pattern = send.configure(task_kwargs={"subject": "hi"})
    one, two = await pattern.defer_async(to="a"), pattern.defer(to="b", subject="bye")
    assert (await only_job(app, one)).task_kwargs == {"subject": "hi", "to": "a"}
    assert (await only_job(app, two)).task_kwargs == {"subject": "bye", "to": "b"}


async def test_every_option_of_configure_reaches_the_job(app: forthwith.App, send: Any) -> None:
    at = datetime.datetime.now(tz=datetime.UTC) + HOUR
    job = await only_job(
        app,
        await send.configure(
            queue="q", lock="l", queueing_lock="ql", priority=-5, schedule_at=at
        ).defer_async(to="ada"),
    )
    assert (job.queue, job.lock, job.queueing_lock, job.priority) == ("q", "l", "ql", -5)
    assert job.scheduled_at == at


async def test_schedule_in_counts_from_now(app: forthwith.App, send: Any) -> None:
    before = datetime.datetime.now(tz=datetime.UTC)
    job = await only_job(app, await send.configure(schedule_in={"minutes": 60}).defer_async())
    after = datetime.datetime.now(tz=datetime.UTC)
    assert job.scheduled_at is not None
    assert before + HOUR <= job.scheduled_at <= after + HOUR


async def test_a_wrong_schedule_is_refused(send: Any) -> None:
    naive = datetime.datetime(2050, 1, 1)  # noqa: DTZ001 -- the mistake that is tested
    for options in (
        {"schedule_at": naive},
        {"schedule_at": naive.astimezone(), "schedule_in": {"seconds": 1}},
    ):
        with pytest.raises(ValueError, match="schedule_"):
            send.configure(**options)


async def test_a_scheduled_job_waits_for_its_time(app: forthwith.App, send: Any) -> None:
    now = datetime.datetime.now(tz=datetime.UTC)
    due = await send.configure(schedule_at=now - HOUR).defer_async()
    later = await send.configure(schedule_in={"hours": 1}).defer_async()
    await run_until_idle(app)
    assert await status(app, due) == "succeeded"
    assert await status(app, later) == "todo"


async def test_higher_priorities_start_first_then_older_jobs(app: forthwith.App) -> None:
    ran = []

    @app.task(name="note")
    async def note(number: int) -> None:
        ran.append(number)

    for number, priority in enumerate([0, 5, -3, 5, 0]):
        await note.configure(priority=priority).defer_async(number=number)
    await run_until_idle(app)
    assert ran == [1, 3, 0, 4, 2]


async def test_jobs_with_one_lock_never_overlap_and_keep_their_order(app: forthwith.App) -> None:
    import asyncio

    running, ran = 0, []

    @app.task(name="alone", lock="one at a time")
    async def alone(number: int) -> None:
        nonlocal running
        assert running == 0
        running += 1
        await asyncio.sleep(0.001)
        running -= 1
        ran.append(number)

    await alone.batch_defer_async(*({"number": number} for number in range(12)))
    await run_until_idle(app, concurrency=6)
    assert ran == list(range(12))


async def test_a_scheduled_job_does_not_block_its_lock(app: forthwith.App, send: Any) -> None:
    later = await send.configure(lock="l", schedule_in={"hours": 1}).defer_async()
    now = await send.configure(lock="l").defer_async()
    await run_until_idle(app)
    assert (await status(app, later), await status(app, now)) == ("todo", "succeeded")


async def test_a_queueing_lock_lets_one_job_wait(app: forthwith.App, send: Any) -> None:
    single = send.configure(queueing_lock="single")
    await single.defer_async()
    with pytest.raises(AlreadyEnqueued):
        single.defer()
    with pytest.raises(AlreadyEnqueued):
        single.batch_defer({})
    with pytest.raises(AlreadyEnqueued):
        await single.defer_async()
    with pytest.raises(AlreadyEnqueued):
        await single.batch_defer_async({"to": "a"}, {"to": "b"})
    await run_until_idle(app)
    await single.defer_async()
    assert await count(app, "todo") == 1


async def test_a_batch_is_deferred_as_a_whole_or_not_at_all(app: forthwith.App, send: Any) -> None:
    with pytest.raises(AlreadyEnqueued):
        await send.configure(queueing_lock="twice").batch_defer_async({}, {})
    with pytest.raises(InvalidArgument):
        await send.batch_defer_async({"to": "a"}, {"to": object()})
    assert await count(app, "todo") == 0


async def test_a_job_rides_in_the_callers_transaction(
    app: forthwith.App, send: Any, database_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url) as own:
        dropped = await send.configure(connection=own).defer_async(to="nobody")
        assert await status(app, dropped) is None
        await own.rollback()
        kept = await send.configure(connection=own).batch_defer_async({"to": "a"}, {"to": "b"})
        await own.commit()
    assert await status(app, dropped) is None
    assert [await status(app, job_id) for job_id in kept] == ["todo", "todo"]


def test_a_job_rides_in_the_callers_sync_transaction(
    app: forthwith.App, send: Any, database_url: str
) -> None:
    with psycopg.connect(database_url) as own:
        dropped = send.configure(connection=own).defer(to="nobody")
        own.rollback()
        kept = send.configure(connection=own).batch_defer({"to": "a"}, {"to": "b"})
        assert app.job_manager.get_job(kept[0]) is None
        own.commit()
    assert app.job_manager.get_job(dropped) is None
    assert app.job_manager.get_job_status(kept[1]) is jobs.Status.TODO


async def test_a_connection_of_the_wrong_kind_is_refused(send: Any, database_url: str) -> None:
    with psycopg.connect(database_url) as blocking:
        for wrong in (blocking, object()):
            with pytest.raises(InvalidArgument, match="AsyncConnection"):
                await send.configure(connection=wrong).defer_async()
    async with await psycopg.AsyncConnection.connect(database_url) as own:
        with pytest.raises(InvalidArgument, match=r"psycopg\.Connection"):
            send.configure(connection=own).defer()


async def test_after_a_taken_queueing_lock_the_callers_transaction_goes_on(
    app: forthwith.App, send: Any, database_url: str
) -> None:
    await send.configure(queueing_lock="single").defer_async()
    async with await psycopg.AsyncConnection.connect(database_url) as own:
        with pytest.raises(AlreadyEnqueued):
            await send.configure(queueing_lock="single", connection=own).defer_async()
        job_id = await send.configure(connection=own).defer_async()
        await own.commit()
    assert await status(app, job_id) == "todo"


async def test_deferrals_that_cannot_be_stored_name_the_argument(send: Any) -> None:
    for arguments, name in (
        ({"to": object()}, "to"),
        ({"to": "\0"}, "to"),
        ({"to": "x" * 2**21}, "arguments_bytes_max"),
    ):
        with pytest.raises(InvalidArgument, match=name):
            await send.defer_async(**arguments)
    with pytest.raises(InvalidArgument, match="did you mean queueing_lock"):
        send.configure(queuing_lock="x")


async def test_a_task_defers_other_tasks_sync_and_async(app: forthwith.App, send: Any) -> None:
    @app.task(name="async_parent")
    async def async_parent() -> None:
        await send.defer_async(to="from async")

    @app.task(name="sync_parent")
    def sync_parent() -> None:
        send.defer(to="from sync")

    await async_parent.defer_async()
    await sync_parent.defer_async()
    await run_until_idle(app)
    sent = await app.job_manager.list_jobs_async(task="send", status="succeeded")
    assert sorted(str(job.task_kwargs["to"]) for job in sent) == ["from async", "from sync"]
