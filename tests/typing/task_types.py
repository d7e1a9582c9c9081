"""What a type checker must accept and refuse. Read by mypy, never run: see test_typing.py.

A line with a `type: ignore` must be wrong: mypy reports the comment itself if it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_type

import psycopg

from forthwith.app import App
from forthwith.blueprint import Blueprint
from forthwith.context import AbortReason, JobContext
from forthwith.deferrer import JobDeferrer
from forthwith.retry import ExponentialBackoffStrategy, RetryDecision, RetryStrategy

if TYPE_CHECKING:
    import procrastinate
    import sqlalchemy
    from sqlalchemy import orm
    from sqlalchemy.ext import asyncio as async_sqlalchemy

    from forthwith.errors import ForthwithError, InvalidArgument
    from forthwith.task import Task

tasks = Blueprint()


@tasks.task
def bare(n: int, text: str = "") -> float:
    return n / 2


@tasks.task(queue="mail", retry=ExponentialBackoffStrategy(max_attempts=3), timeout=2.5)
async def send(to: str, *, urgent: bool = False) -> None: ...


@tasks.task(pass_context=True, on_crash="fail", crashes_max=1)
async def with_context(context: JobContext, amount: int) -> str:
    if context.should_abort() and context.abort_reason() is AbortReason.TIMEOUT:
        return context.task.name
    async with context.transaction() as connection:
        assert_type(connection, psycopg.AsyncConnection[Any])
    with context.transaction() as blocking:
        assert_type(blocking, psycopg.Connection[Any])
    assert_type(context.lease_token, int)
    assert_type(context.remaining_s(), float | None)
    return str(amount)


@tasks.task(pass_context=True)
def with_procrastinates_context(context: procrastinate.JobContext, amount: int) -> None: ...


@tasks.periodic(cron="*/5 * * * *", queue="slow")
@tasks.task(pass_context=True)
async def every_five_minutes(context: JobContext, timestamp: int) -> None: ...


@tasks.task(retry=3, priority=5, lock="l", queueing_lock="q", name="n", aliases=["old"])
def with_options() -> None: ...


async def calls_have_the_functions_signature() -> None:
    assert_type(bare(1), float)
    assert_type(bare(1, text="a"), float)
    await send("ada", urgent=True)
    bare("1")  # type: ignore[arg-type]
    await send()  # type: ignore[call-arg]


def defer_has_the_functions_signature() -> None:
    assert_type(bare.defer(n=1, text="a"), int)
    assert_type(send.defer(to="ada", urgent=True), int)
    bare.defer()  # type: ignore[call-arg]
    bare.defer(n="1")  # type: ignore[arg-type]
    bare.defer(n=1, txt="a")  # type: ignore[call-arg]
    send.defer(to=1)  # type: ignore[arg-type]
    send.defer(to="ada", urgent="yes")  # type: ignore[arg-type]
    with_options.defer(n=1)  # type: ignore[call-arg]


async def defer_async_has_the_functions_signature() -> None:
    assert_type(await send.defer_async(to="ada"), int)
    await send.defer_async()  # type: ignore[call-arg]
    await send.defer_async(to=b"ada")  # type: ignore[arg-type]


async def the_context_is_not_deferred() -> None:
    await with_context.defer_async(amount=1)
    with_procrastinates_context.defer(amount=1)
    with_context.defer()  # type: ignore[call-arg]
    with_context.defer(amount="1")  # type: ignore[arg-type]
    with_context.defer(context=None, amount=1)  # type: ignore[call-arg]


async def the_timestamp_is_not_deferred_by_hand() -> None:
    await every_five_minutes.defer_async()


async def batches_take_dicts() -> None:
    assert_type(await send.batch_defer_async({"to": "ada"}, {"to": "eve"}), list[int])
    assert_type(send.batch_defer({"to": "ada"}), list[int])
    send.batch_defer(["ada"])  # type: ignore[arg-type]


def configure_knows_its_options() -> None:
    assert_type(send.configure(lock="l", schedule_in={"minutes": 5}), JobDeferrer)
    send.configure(connection="postgresql://")  # type: ignore[arg-type]
    send.configure(lok="l")  # type: ignore[call-arg]
    send.configure(priority="high")  # type: ignore[arg-type]
    send.configure(schedule_in={"years": 1})  # type: ignore[arg-type]
    assert_type(send.configure().defer(to="ada"), int)


async def completions_are_awaited_where_the_connection_is_asynchronous(
    context: JobContext,
    session: orm.Session,
    async_session: async_sqlalchemy.AsyncSession,
    blocking: psycopg.Connection[Any],
    asynchronous: psycopg.AsyncConnection[Any],
    engine: sqlalchemy.Engine,
) -> None:
    assert_type(await context.complete_in(async_session), None)
    await context.complete_in(asynchronous)
    context.complete_in(session)
    context.complete_in(blocking)
    await context.complete_in(session)  # type: ignore[misc]
    context.complete_in(engine)  # type: ignore[call-overload]


def connections_of_several_libraries_are_taken(
    blocking: psycopg.Connection[Any],
    asynchronous: psycopg.AsyncConnection[tuple[int, str]],
    connection: sqlalchemy.Connection,
    session: orm.Session,
    scoped: orm.scoped_session[orm.Session],
    async_connection: async_sqlalchemy.AsyncConnection,
    async_session: async_sqlalchemy.AsyncSession,
    engine: sqlalchemy.Engine,
) -> None:
    send.configure(connection=blocking)
    send.configure(connection=asynchronous)
    send.configure(connection=connection)
    send.configure(connection=session)
    send.configure(connection=scoped)
    send.configure(connection=async_connection)
    send.configure(connection=async_session)
    send.configure(connection=engine)  # type: ignore[arg-type]


async def batches_take_any_dicts(app: App) -> None:
    numbers: list[dict[str, int]] = [{"n": 1}]
    assert_type(send.batch_defer(*numbers), list[int])
    assert_type(await send.batch_defer_async(*numbers), list[int])
    send.batch_defer(["n"])  # type: ignore[arg-type]
    async with app.open_async() as opened:
        assert_type(opened, App)


def the_decorator_knows_its_options() -> None:
    tasks.task(timeout="5")  # type: ignore[call-overload]
    tasks.task(on_crash="explode")  # type: ignore[call-overload]
    tasks.task(crashes_max=None)  # type: ignore[call-overload]
    tasks.task(timeot=5)  # type: ignore[call-overload]
    tasks.task(retry="5")  # type: ignore[call-overload]
    tasks.task("send")  # type: ignore[call-overload]


def without_context_a_context_is_an_argument() -> None:
    @tasks.task(pass_context=True)  # type: ignore[arg-type]
    def takes_none() -> None: ...


def tasks_know_their_types() -> None:
    task: Task[..., float, ...] = bare
    assert_type(task.name, str)
    assert_type(send.timeout_s, float | None)
    assert_type(send.crashes_max, int)


def strategies_are_typed() -> None:
    ExponentialBackoffStrategy(retry_exceptions=[ValueError], jitter=True)
    ExponentialBackoffStrategy(max_attempts="3")  # type: ignore[arg-type]
    ExponentialBackoffStrategy(retry_exceptions=[int])  # type: ignore[list-item]
    RetryStrategy(max_attempts=3, wait=5)
    RetryDecision(retry_in={"seconds": 5}, priority=1)
    ExponentialBackoffStrategy().jitter = True  # type: ignore[misc]


def errors_are_typed(error: InvalidArgument) -> None:
    assert_type(error.argument, str)
    root: ForthwithError = error
    value_error: ValueError = error
    print(root, value_error)
