"""A task's SQL and its job's completion commit together, whichever library commits them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import orm

import forthwith
from forthwith.errors import ForthwithError, InvalidArgument, LeaseLost
from forthwith.store.statements import statements
from tests.support import ways
from tests.support.workers import run_until_idle, status

if TYPE_CHECKING:
    from collections.abc import Callable

    Connection = psycopg.AsyncConnection[Any]

INSERT = "insert into effect values ('done')"


def nothing(_context: forthwith.JobContext) -> None:
    """The hook of who has none."""


def declare(
    app: forthwith.App,
    url: str,
    way: Any,
    *,
    inside: Callable[[forthwith.JobContext], None] = nothing,
    after: Callable[[forthwith.JobContext], None] = nothing,
    **options: Any,
) -> Any:
    """Declare a task `work` that writes its effect in that way, with hooks in its block and after it."""
    if way in ways.ASYNC:

        async def work(context: forthwith.JobContext) -> None:
            async with way(context, url) as execute:
                await execute(INSERT)
                inside(context)
            after(context)
    else:

        def work(context: forthwith.JobContext) -> None:  # type: ignore[misc]
            with way(context, url) as execute:
                execute(INSERT)
                inside(context)
            after(context)

    return app.task(name="work", pass_context=True, **options)(work)


def take_away(url: str, context: forthwith.JobContext) -> None:
    """Take the running job from its worker, as a rescue does."""
    changes = dict.fromkeys(("priority", "queue", "lock"))
    with psycopg.connect(url) as connection:
        now = connection.execute("select now()").fetchone()
        assert now is not None
        parameters = {"id": context.job.id, "retry_at": now[0], **changes}
        rows = connection.execute(statements()["retry_running"], parameters).fetchall()
    assert len(rows) == 1


@pytest.fixture(autouse=True)
async def effects(connection: Connection) -> Callable[[], Any]:
    """How many effects were committed."""
    await connection.execute("create table effect (name text)")

    async def count() -> int:
        row = await (await connection.execute("select count(*) from effect")).fetchone()
        assert row is not None
        return int(row[0])

    return count


each_way = pytest.mark.parametrize("way", [*ways.ASYNC, *ways.SYNC])
callers_way = pytest.mark.parametrize("way", [*ways.ASYNC[1:], *ways.SYNC[1:]])


@each_way
async def test_sql_and_completion_commit_together(
    app: forthwith.App, connection: Connection, database_url: str, effects: Any, way: Any
) -> None:
    task = declare(app, database_url, way, lock="line")  # which must advance
    job_ids = await task.batch_defer_async({}, {}, {})
    await run_until_idle(app, concurrency=3)
    assert await effects() == 3
    assert [await status(app, job_id) for job_id in job_ids] == ["succeeded"] * 3
    effect_writers, job_writers, attempts = await (
        await connection.execute(
            "select (select array_agg(xmin::text order by xmin::text) from effect), "
            "array_agg(xmin::text order by xmin::text), array_agg(attempts) from forthwith.finished_job"
        )
    ).fetchone() or ([], [], [])
    assert attempts == [1, 1, 1]
    # A savepoint has an id of its own, next to that of the transaction which it belongs to.
    assert len(set(effect_writers)) == len(set(job_writers)) == 3


@each_way
async def test_an_exception_after_the_sql_takes_it_back(
    app: forthwith.App, database_url: str, effects: Any, way: Any
) -> None:
    def break_first_run(context: forthwith.JobContext) -> None:
        if context.job.attempts == 0:
            raise ZeroDivisionError

    task = declare(app, database_url, way, inside=break_first_run, retry=1)
    job_id = await task.defer_async()
    await run_until_idle(app)
    assert (await effects(), await status(app, job_id)) == (1, "succeeded")
    [attempt] = await app.job_manager.list_attempts_async(job_id)
    assert attempt.exception_type == "ZeroDivisionError"


@each_way
async def test_a_run_whose_job_was_taken_over_commits_nothing(
    app: forthwith.App,
    database_url: str,
    effects: Any,
    way: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised: list[BaseException] = []

    def lose_first_run(context: forthwith.JobContext) -> None:
        if context.job.attempts == 0:
            take_away(database_url, context)

    declare(app, database_url, way, inside=lose_first_run)
    decide = app.tasks["work"].get_retry_exception

    def note(exception: BaseException, job: Any) -> Any:
        raised.append(exception)
        return decide(exception, job)

    app.tasks["work"].retry_strategy = forthwith.RetryStrategy(max_attempts=3)
    app.tasks["work"].get_retry_exception = note  # type: ignore[method-assign]
    job_id = await app.tasks["work"].defer_async()
    await run_until_idle(app)
    assert [type(error) for error in raised] == [LeaseLost]
    assert (await effects(), await status(app, job_id)) == (1, "succeeded")


@each_way
async def test_what_is_raised_after_the_commit_changes_nothing(
    app: forthwith.App,
    database_url: str,
    effects: Any,
    way: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def break_down(_context: forthwith.JobContext) -> None:
        raise ZeroDivisionError

    job_id = await declare(app, database_url, way, after=break_down, retry=3).defer_async()
    await run_until_idle(app)
    assert (await effects(), await status(app, job_id)) == (1, "succeeded")
    assert await app.job_manager.list_attempts_async(job_id) == []
    assert "ZeroDivisionError() after it had succeeded" in caplog.text
    assert "LeaseLost" not in caplog.text


@each_way
async def test_options_on_what_to_keep_hold(
    app: forthwith.App, connection: Connection, database_url: str, effects: Any, way: Any
) -> None:
    job_id = await declare(app, database_url, way).defer_async()
    await run_until_idle(app, delete_jobs="successful")
    assert (await effects(), await status(app, job_id)) == (1, None)


@callers_way
async def test_a_run_that_returns_without_the_commit_fails_and_says_why(
    app: forthwith.App, connection: Connection, database_url: str, effects: Any, way: Any
) -> None:
    await connection.execute("create table twin (id int unique deferrable initially deferred)")
    if way in ways.ASYNC:

        @app.task(name="work", pass_context=True, retry=1)
        async def work(context: forthwith.JobContext) -> None:
            try:
                async with way(context, database_url) as execute:
                    await execute(INSERT)
                    if context.job.attempts == 0:
                        await execute(BROKEN_AT_COMMIT)
            except Exception:
                assert context.job.attempts == 0
    else:

        @app.task(name="work", pass_context=True, retry=1)
        def work(context: forthwith.JobContext) -> None:
            try:
                with way(context, database_url) as execute:
                    execute(INSERT)
                    if context.job.attempts == 0:
                        execute(BROKEN_AT_COMMIT)
            except Exception:
                assert context.job.attempts == 0

    job_id = await app.tasks["work"].defer_async()
    await run_until_idle(app)
    assert (await effects(), await status(app, job_id)) == (1, "succeeded")
    [attempt] = await app.job_manager.list_attempts_async(job_id)
    assert "returned though that was not committed" in (attempt.message or "")


BROKEN_AT_COMMIT = "insert into twin values (1), (1)"
"""A violation that PostgreSQL sees at the commit: after the completion."""


async def test_a_commit_that_is_refused_fails_the_attempt(
    app: forthwith.App, connection: Connection, effects: Any
) -> None:
    await connection.execute("create table twin (id int unique deferrable initially deferred)")

    @app.task(name="work", pass_context=True, retry=1)
    async def work(context: forthwith.JobContext) -> None:
        async with context.transaction() as own:
            await own.execute(INSERT)
            if context.job.attempts == 0:
                await own.execute(BROKEN_AT_COMMIT)

    job_id = await work.defer_async()
    await run_until_idle(app)
    assert (await effects(), await status(app, job_id)) == (1, "succeeded")
    [attempt] = await app.job_manager.list_attempts_async(job_id)
    assert attempt.exception_type == "UniqueViolation"


# -- once a run -------------------------------------------------------------------------------------


async def test_a_run_completes_its_job_once(
    app: forthwith.App, database_url: str, effects: Any
) -> None:
    raised: list[str] = []

    async def attempt(way: Any, context: forthwith.JobContext) -> None:
        try:
            async with way(context, database_url) as execute:
                await execute(INSERT)
        except ForthwithError as error:
            raised.append(f"{way.__name__}: {error}")

    @app.task(name="work", pass_context=True)
    async def work(context: forthwith.JobContext, first: str) -> None:
        chosen = getattr(ways, first)
        async with chosen(context, database_url) as execute:
            await execute(INSERT)
            if chosen is ways.async_transaction:
                await attempt(ways.async_transaction, context)
                await attempt(ways.async_session, context)
        await attempt(ways.async_transaction, context)
        await attempt(ways.async_session, context)

    job_ids = await work.batch_defer_async(
        {"first": "async_transaction"}, {"first": "async_session"}
    )
    await run_until_idle(app)
    assert [await status(app, job_id) for job_id in job_ids] == ["succeeded", "succeeded"]
    assert await effects() == 2
    assert [text.split(":")[0] for text in raised] == [
        "async_transaction",
        "async_session",
    ] * 3
    assert not [text for text in raised if "completed" not in text and "completes" not in text]


async def test_after_a_rollback_a_run_may_try_again(
    app: forthwith.App, database_url: str, effects: Any
) -> None:
    rollbacks: list[Any] = []

    @app.task(name="work", pass_context=True)
    async def work(context: forthwith.JobContext, last: str) -> None:
        for way in (ways.async_transaction, ways.async_session, ways.async_psycopg):
            try:
                async with way(context, database_url) as execute:
                    await execute(INSERT)
                    await execute("select 1/0")
            except (psycopg.Error, sqlalchemy.exc.DBAPIError):
                rollbacks.append(way)
        async with await psycopg.AsyncConnection.connect(database_url) as own:
            await own.execute(INSERT)
            await context.complete_in(own)
            await own.rollback()
        async with getattr(ways, last)(context, database_url) as execute:
            await execute(INSERT)

    job_ids = await work.batch_defer_async({"last": "async_transaction"}, {"last": "async_session"})
    await run_until_idle(app)
    assert len(rollbacks) == 6
    assert [await status(app, job_id) for job_id in job_ids] == ["succeeded", "succeeded"]
    assert await effects() == 2


async def test_a_completion_in_a_savepoint_goes_with_it(
    app: forthwith.App, database_url: str, effects: Any
) -> None:
    @app.task(name="work", pass_context=True, retry=1)
    async def work(context: forthwith.JobContext) -> None:
        async with await psycopg.AsyncConnection.connect(database_url) as own:
            await own.execute(INSERT)
            try:
                async with own.transaction():
                    await context.complete_in(own)
                    raise ZeroDivisionError
            except ZeroDivisionError:
                if context.job.attempts == 1:
                    await context.complete_in(own)

    job_id = await work.defer_async()
    await run_until_idle(app)
    assert (await effects(), await status(app, job_id)) == (2, "succeeded")
    [attempt] = await app.job_manager.list_attempts_async(job_id)
    assert "not committed" in (attempt.message or "")


async def test_a_second_completion_in_one_transaction_is_refused(
    app: forthwith.App, database_url: str, effects: Any
) -> None:
    @app.task(name="work", pass_context=True)
    async def work(context: forthwith.JobContext) -> None:
        async with (
            await psycopg.AsyncConnection.connect(database_url) as own,
            await psycopg.AsyncConnection.connect(database_url) as other,
        ):
            await own.execute(INSERT)
            await context.complete_in(own)
            for again in (own, other):
                with pytest.raises(ForthwithError, match="once in a run"):
                    await context.complete_in(again)

    job_id = await work.defer_async()
    await run_until_idle(app)
    assert (await effects(), await status(app, job_id)) == (1, "succeeded")


async def test_a_transaction_that_is_left_open_is_ended_and_the_run_fails(
    app: forthwith.App, database_url: str, effects: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forthwith.store.completing.IDLE_CALLERS_MS", 500)
    left: list[psycopg.Connection[Any]] = []

    @app.task(name="work", pass_context=True)
    def work(context: forthwith.JobContext) -> None:
        left.append(psycopg.connect(database_url))
        left[0].execute(INSERT)
        context.complete_in(left[0])

    job_id = await work.defer_async()
    await run_until_idle(app)
    left[0].close()
    assert (await effects(), await status(app, job_id)) == (0, "failed")
    [attempt] = await app.job_manager.list_attempts_async(job_id)
    assert "not committed" in (attempt.message or "")


# -- what cannot be used ----------------------------------------------------------------------------


@pytest.fixture
def refusal(app: forthwith.App) -> Callable[..., Any]:
    """Run one task and return what it raised."""

    async def of(function: Callable[..., Any], **options: Any) -> BaseException:
        raised: list[BaseException] = []

        def note(exception: BaseException, job: Any) -> None:
            raised.append(exception)

        task = app.task(name="work", pass_context=True, retry=1, **options)(function)
        task.get_retry_exception = note  # type: ignore[assignment]
        job_id = await task.defer_async()
        await run_until_idle(app)
        assert await status(app, job_id) == "failed"
        [error] = raised
        return error

    return of


async def test_another_database_is_told_from_a_lost_lease(
    refusal: Any, empty_database_url: str
) -> None:
    async def work(context: forthwith.JobContext) -> None:
        async with await psycopg.AsyncConnection.connect(empty_database_url) as own:
            await context.complete_in(own)

    error = await refusal(work)
    assert isinstance(error, InvalidArgument)
    assert error.argument == "connection"
    assert "another database" in str(error)


async def test_a_job_of_the_same_id_in_another_database_is_left_alone(
    refusal: Any, empty_database_url: str
) -> None:
    other = forthwith.App(empty_database_url)
    async with other.open_async(), await psycopg.AsyncConnection.connect(empty_database_url) as own:
        await other.schema_manager.apply_schema_async()
        twin = await other.configure_task("work").defer_async()
        tokens: list[int] = []

        async def work(context: forthwith.JobContext) -> None:
            assert context.job.id == twin
            await own.execute("update forthwith.job set lease_token = %s", [context.lease_token])
            tokens.append(context.lease_token)
            await context.complete_in(own)

        error = await refusal(work)
        await own.commit()
        assert len(tokens) == 1
        assert "another database" in str(error)
        assert await status(other, twin) == "todo"


async def test_a_connection_that_commits_by_itself_is_refused(
    refusal: Any, database_url: str
) -> None:
    def work(context: forthwith.JobContext) -> None:
        with psycopg.connect(database_url, autocommit=True) as own:
            context.complete_in(own)

    assert "autocommit" in str(await refusal(work))


async def test_other_drivers_are_refused(refusal: Any) -> None:
    def work(context: forthwith.JobContext) -> None:
        engine = sqlalchemy.create_engine("sqlite://")
        try:
            with orm.Session(engine) as session:
                context.complete_in(session)
        finally:
            engine.dispose()

    assert "postgresql+psycopg" in str(await refusal(work))


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_a_lock_needs_a_transaction_that_sees_the_line(refusal: Any, isolation: str) -> None:
    async def work(context: forthwith.JobContext) -> None:
        async with context.transaction() as own:
            await own.execute(f"set transaction isolation level {isolation}")

    error = await refusal(work, lock="line")
    assert isolation in str(error)
    assert "read committed" in str(error)


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_without_a_lock_any_isolation_will_do(
    app: forthwith.App, effects: Any, isolation: str
) -> None:
    @app.task(name="work", pass_context=True)
    def work(context: forthwith.JobContext) -> None:
        with context.transaction() as own:
            own.execute(f"set transaction isolation level {isolation}")
            own.execute(INSERT)

    job_id = await work.defer_async()
    await run_until_idle(app)
    assert (await effects(), await status(app, job_id)) == (1, "succeeded")


async def test_an_async_task_does_not_block_the_event_loop(refusal: Any, database_url: str) -> None:
    async def work(context: forthwith.JobContext) -> None:
        with (
            psycopg.connect(database_url) as own,
            pytest.raises(ForthwithError, match="event loop"),
        ):
            context.complete_in(own)
        with context.transaction():
            raise AssertionError

    assert "async with" in str(await refusal(work))


async def test_a_sync_task_may_have_an_event_loop_of_its_own(
    app: forthwith.App, database_url: str, effects: Any
) -> None:
    refused: list[str] = []

    async def inner(context: forthwith.JobContext) -> None:
        try:
            async with context.transaction():
                pass
        except ForthwithError as error:
            refused.append(str(error))
        async with ways.async_session(context, database_url) as execute:
            await execute(INSERT)

    @app.task(name="work", pass_context=True)
    def work(context: forthwith.JobContext) -> None:
        asyncio.run(inner(context))

    job_id = await work.defer_async()
    await run_until_idle(app)
    assert (await effects(), await status(app, job_id)) == (1, "succeeded")
    assert len(refused) == 1
    assert "with context.transaction()" in refused[0]


async def test_more_tasks_than_connections_wait_for_their_turn(
    app: forthwith.App, effects: Any
) -> None:
    inside = 0
    full = asyncio.Event()

    @app.task(name="work", pass_context=True)
    async def work(context: forthwith.JobContext) -> None:
        nonlocal inside
        async with context.transaction() as own:
            inside += 1
            await own.execute(INSERT)
            if inside == 10:  # so many are in the block at a time, and no more
                full.set()
            await full.wait()

    await work.batch_defer_async(*({} for _ in range(25)))
    await run_until_idle(app, concurrency=25)
    assert await effects() == 25
