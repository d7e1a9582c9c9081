"""How far a job says that it is."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.errors import InvalidArgument
from tests.support.workers import run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    import forthwith

    WaitUntil = Callable[..., Awaitable[Any]]

Row = tuple[float, float | None, str | None]


async def shown(connection: psycopg.AsyncConnection[Any], job_id: int) -> Row | None:
    """What the database knows of a job's progress."""
    query = "select done, total, note from forthwith.progress where job_id = %s"
    return await (await connection.execute(query, [job_id])).fetchone()


async def rows(connection: psycopg.AsyncConnection[Any]) -> int:
    return (await connection.execute("select from forthwith.progress")).rowcount


async def test_progress_is_shown_while_the_job_runs_and_forgotten_after(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    steps: asyncio.Queue[Any] = asyncio.Queue()

    @app.task(name="work", pass_context=True)
    async def work(context: forthwith.JobContext) -> None:
        while (said := await steps.get()) is not None:
            context.progress(*said)

    job_id = await work.defer_async()

    async def shows(*row: Any) -> bool:
        return await shown(connection, job_id) == row

    async with running_worker(app):
        for said, row in (
            ((1,), (1.0, None, None)),
            ((2, 10), (2.0, 10.0, None)),
            ((2.5, 10, "a half"), (2.5, 10.0, "a half")),
        ):
            await steps.put(said)
            await wait_until(lambda row=row: shows(*row))
        await steps.put(None)

        async def is_forgotten() -> bool:
            return await rows(connection) == 0

        await wait_until(is_forgotten)
    assert await status(app, job_id) == "succeeded"


async def test_last_word_counts_and_few_of_many_are_written(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    go_on = threading.Event()
    job_ids: list[int] = []

    @app.task(name="work", pass_context=True)
    def work(context: forthwith.JobContext) -> None:  # in a thread
        assert context.job.id is not None
        job_ids.append(context.job.id)
        for number in range(20_001):
            context.progress(number, 20_000)
        go_on.wait(60)

    await connection.execute(
        "create table written (at timestamptz default clock_timestamp());"
        "create function note() returns trigger language plpgsql as"
        " 'begin insert into public.written default values; return null; end';"
        "create trigger note after insert or update on forthwith.progress"
        " for each row execute function note()"
    )
    await work.defer_async()

    async def is_at_the_end() -> bool:
        return bool(job_ids) and await shown(connection, job_ids[0]) == (20_000.0, 20_000.0, None)

    async with running_worker(app):
        await wait_until(is_at_the_end)
        cursor = await connection.execute(
            "select count(*), extract(epoch from max(at) - min(at))::float8 from written"
        )
        [(writes, seconds)] = await cursor.fetchall()
        assert writes <= 2 + seconds
        go_on.set()


async def test_progress_of_many_jobs_goes_in_batches(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    go_on = asyncio.Event()

    @app.task(name="work", pass_context=True)
    async def work(context: forthwith.JobContext) -> None:
        context.progress(1, 2, "ünï 'quoted' \\ {}")
        await go_on.wait()

    await work.batch_defer_async(*([{}] * 50))

    async def all_shown() -> bool:
        return await rows(connection) == 50

    async def is_forgotten() -> bool:
        return await rows(connection) == 0

    async with running_worker(app, concurrency=50):
        await wait_until(all_shown)
        go_on.set()
        await wait_until(is_forgotten)


async def test_who_lost_a_job_says_no_more_of_it(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    steps: dict[str, asyncio.Queue[Any]] = {"lost": asyncio.Queue(), "other": asyncio.Queue()}

    @app.task(name="work", pass_context=True)
    async def work(context: forthwith.JobContext, name: str) -> None:
        while (said := await steps[name].get()) is not None:
            context.progress(said)

    lost, other = await work.batch_defer_async({"name": "lost"}, {"name": "other"})

    async def say(done: int | None) -> None:
        for each in steps.values():
            await each.put(done)

    async def has_said(job_id: int, done: float) -> bool:
        row = await shown(connection, job_id)
        return row is not None and row[0] == done

    async with running_worker(app, concurrency=2):
        await say(1)
        await wait_until(lambda: has_said(lost, 1))
        await wait_until(lambda: has_said(other, 1))
        await connection.execute(
            "update forthwith.job set lease_token = lease_token + 1 where id = %s", [lost]
        )
        await say(2)
        await wait_until(lambda: has_said(other, 2))
        assert await has_said(lost, 1)
        await say(None)


async def test_worker_that_leaves_forgets_what_its_jobs_said(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    @app.task(name="hang", pass_context=True)
    async def hang(context: forthwith.JobContext) -> None:
        context.progress(1)
        await asyncio.Event().wait()

    job_id = await hang.defer_async()
    async with running_worker(app, shutdown_graceful_timeout=0):
        await wait_until(lambda: shown(connection, job_id))
    assert await status(app, job_id) == "todo"
    assert await rows(connection) == 0


async def test_progress_without_a_database_raises_nothing(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    steps: asyncio.Queue[Any] = asyncio.Queue()

    @app.task(name="work", pass_context=True)
    async def work(context: forthwith.JobContext) -> None:
        while (said := await steps.get()) is not None:
            context.progress(said)

    job_id = await work.defer_async()

    async def has_said(done: float) -> bool:
        row = await shown(connection, job_id)
        return row is not None and row[0] == done

    async with running_worker(app):
        await steps.put(1)
        await wait_until(lambda: has_said(1))
        await connection.execute("alter table forthwith.progress rename to away")
        await steps.put(2)
        await connection.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        await connection.execute("alter table forthwith.away rename to progress")
        await steps.put(3)
        await wait_until(lambda: has_said(3))
        await steps.put(None)


@pytest.mark.parametrize(
    ("said", "argument"),
    [
        (("1",), "done"),
        ((None,), "done"),
        ((True,), "done"),
        ((-1,), "done"),
        ((float("nan"),), "done"),
        ((float("inf"),), "done"),
        ((10**400,), "done"),
        ((3, 2), "done"),
        ((1, "2"), "total"),
        ((1, float("inf")), "total"),
        ((1, 2, 3), "note"),
        ((1, 2, "x" * 201), "note"),
        ((1, 2, "a\0b"), "note"),
        ((1, 2, "\ud800"), "note"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    app: forthwith.App, said: tuple[Any, ...], argument: str
) -> None:
    caught: list[InvalidArgument] = []

    @app.task(name="work", pass_context=True)
    async def work(context: forthwith.JobContext) -> None:
        try:
            context.progress(*said)
        except InvalidArgument as error:
            caught.append(error)

    await work.defer_async()
    await run_until_idle(app)
    assert [error.argument for error in caught] == [argument]
