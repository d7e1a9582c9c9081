"""Arguments and passwords are in no log line and in no error of ours, whatever happens to a job."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

import forthwith
from forthwith.errors import (
    AlreadyEnqueued,
    ConnectorException,
    DatabaseUnavailable,
    ForthwithError,
    InvalidArgument,
)
from tests.support.roles import column
from tests.support.workers import run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    Connection = psycopg.AsyncConnection[Any]

SECRET = "correct-horse-battery-staple"  # noqa: S105
PASSWORD = "hunter2-is-no-password"  # noqa: S105


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """All that any logger says from here on, at its most talkative: messages, arguments, extras."""
    caplog.set_level(logging.DEBUG)

    def texts() -> list[str]:
        formatter = logging.Formatter()
        shown = [f"{vars(record)!r} {formatter.format(record)}" for record in caplog.records]
        caplog.clear()
        return shown

    return texts


def assert_discreet(texts: list[str], *expected: str) -> None:
    """The log says what is expected of it, and not the secret."""
    for part in expected:
        assert any(part in text for text in texts), part
    assert [text for text in texts if SECRET in text] == []


async def test_deferring_logs_no_arguments(
    app: forthwith.App, connection: Connection, logged: Callable[[], list[str]]
) -> None:
    secret = {"card": SECRET, "nested": [{"pin": SECRET}]}
    work = app.configure_task("work", queueing_lock="Q", task_kwargs=secret)
    await work.defer_async()
    with pytest.raises(AlreadyEnqueued) as refusal:
        await work.defer_async()
    assert SECRET not in str(refusal.value)
    await app.configure_task("work").batch_defer_async(secret, secret)
    await app.configure_task("work", connection=connection).defer_async(**secret)
    await asyncio.to_thread(app.configure_task("work").defer, **secret)
    assert_discreet(logged(), "Deferred 1 of task work", "Deferred 2 of task work")


async def test_runs_log_no_arguments(
    app: forthwith.App, logged: Callable[[], list[str]], wait_until: Any
) -> None:
    @app.task(name="succeed", pass_context=True)
    async def succeed(context: forthwith.JobContext, card: str) -> None: ...

    @app.task(name="fail", retry=1)
    async def fail(card: str) -> None:
        raise ValueError(card)

    @app.task(name="fail_sync")
    def fail_sync(card: str) -> None:
        raise ValueError(card)

    @app.task(name="misfit")
    async def misfit() -> None: ...

    @app.task(name="hang")
    async def hang(card: str) -> None:
        await asyncio.Event().wait()

    @app.task(name="exceed", timeout=0.05)
    async def exceed(card: str) -> None:
        await asyncio.Event().wait()

    names = ["succeed", "fail", "fail_sync", "misfit", "hang", "exceed", "unknown"]
    ids = {name: await app.configure_task(name).defer_async(card=SECRET) for name in names}
    expected = {**dict.fromkeys(names, "failed"), "succeed": "succeeded", "unknown": "todo"}
    expected["hang"] = "doing"
    async with running_worker(app, concurrency=3):

        async def settled() -> bool:
            return {name: await status(app, job_id) for name, job_id in ids.items()} == expected

        await wait_until(settled)
        await app.job_manager.cancel_job_by_id_async(ids["hang"], abort=True)
        await wait_until(lambda: app.job_manager.list_jobs_async(status="aborted"))
    assert_discreet(
        logged(),
        "(succeed) succeeded",
        "(fail) failed and will be retried",
        "(fail) failed after",
        "(hang) was aborted",
        "TaskNotFound",
    )
    [attempt] = await app.job_manager.list_attempts_async(ids["fail_sync"])
    assert SECRET in str(attempt.message)  # what the task itself says of it is in the history


async def test_stopping_and_rescuing_log_no_arguments(
    app: forthwith.App,
    connection: Connection,
    logged: Callable[[], list[str]],
    wait_until: Any,
) -> None:
    @app.task(name="stubborn")
    async def stubborn(card: str) -> None:
        await asyncio.Event().wait()

    job_id = await stubborn.defer_async(card=SECRET)
    async with running_worker(app, shutdown_graceful_timeout=0.01):
        await wait_until(lambda: app.job_manager.list_jobs_async(status="doing"))
    [worker_id] = await column(
        connection,
        "insert into forthwith.worker (name, host, pid, concurrency, last_seen, lease_expires_at)"
        " values ('dead', '', 1, 1, now() - interval '1 h', now() - interval '1 h') returning id",
    )
    await connection.execute(
        "update forthwith.job set worker_id = %s, claimed_at = now() where id = %s",
        [worker_id, job_id],
    )
    # Somebody takes it away while it runs: the outcome is refused.
    options = {"stalled_worker_timeout": 2.0, "update_heartbeat_interval": 0.2}
    async with running_worker(app, shutdown_graceful_timeout=0.01, **options):
        await wait_until(lambda: app.job_manager.list_jobs_async(worker_id=worker_id + 1), 60)
        await connection.execute("update forthwith.job set lease_token = lease_token + 1")
    assert_discreet(logged(), "of dead worker", "LeaseLost")


async def test_periodic_tasks_log_no_arguments(
    app: forthwith.App, logged: Callable[[], list[str]], wait_until: Any
) -> None:
    blueprint = forthwith.Blueprint()

    @app.periodic(cron="* * * * * *", task_kwargs={"card": SECRET})
    @app.task(name="tick")
    async def tick(timestamp: int, card: str) -> None: ...

    @app.periodic(cron="* * * * * *", task_kwargs={"card": SECRET}, queueing_lock="Q")
    @app.task(name="locked_tick", queue="elsewhere")
    async def locked_tick(timestamp: int, card: str) -> None: ...

    @blueprint.periodic(cron="* * * * * *", task_kwargs={"card": SECRET}, periodic_id="mine")
    @blueprint.task(name="blue_tick")
    async def blue_tick(timestamp: int, card: str) -> None: ...

    app.add_tasks_from(blueprint, namespace="blue")

    async def ticked() -> bool:
        jobs = [*await app.job_manager.list_jobs_async(task="tick", status="succeeded")]
        jobs += await app.job_manager.list_jobs_async(task="blue:blue_tick", status="succeeded")
        return {job.task_kwargs["card"] for job in jobs} == {SECRET} and len(jobs) >= 4

    async with running_worker(app, queues=["default"]), running_worker(app, queues=["default"]):
        await wait_until(ticked)
    assert_discreet(
        logged(),
        "Registering task tick",
        "Periodic task tick ('') for",
        "one waits under its queueing lock",
    )


async def test_a_middleware_logs_them_where_that_is_wanted(
    app: forthwith.App, logged: Callable[[], list[str]]
) -> None:
    async def log_arguments(call: Any, context: Any, worker: Any) -> Any:
        logging.getLogger("mine").info("running %s", context.job.call_string)
        return await call()

    @app.task(name="work")
    async def work(card: str) -> None: ...

    job_id = await work.defer_async(card=SECRET)
    await run_until_idle(app, task_middleware=[log_arguments])
    assert any(f"running work[{job_id}](card='{SECRET}')" in text for text in logged())


async def test_what_the_server_says_of_a_row_is_not_in_our_error(
    app: forthwith.App, connection: Connection, logged: Callable[[], list[str]]
) -> None:
    await connection.execute("alter table forthwith.job add check (task <> 'refused')")
    with pytest.raises(ConnectorException, match="violates check constraint") as refusal:
        await app.configure_task("refused").defer_async(card=SECRET)
    assert SECRET not in str(refusal.value)
    assert_discreet(logged())


@pytest.mark.parametrize(
    "arguments",
    [
        {"card": SECRET.encode()},
        {"card": {SECRET}},
        {"card": [SECRET + "\0"]},
        {"card": SECRET * 100_000},
        {"card": (SECRET, float("nan"))},
    ],
    ids=["bytes", "set", "NUL", "too large", "NaN"],
)
async def test_refused_arguments_are_not_repeated(
    app: forthwith.App, arguments: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await app.configure_task("work").defer_async(**arguments)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://ada:{PASSWORD}@[::1/db",
        f"postgresql://ada:{PASSWORD}%zz@db.example/db",
        f"postgresql://ada:{PASSWORD}@db.example/db?no_such_option=1",
        f"postgresql://ada@db.example/db?password={PASSWORD}&no_such_option=1",
        f"host=db.example {PASSWORD}",
        f"host=db.example password='{PASSWORD}",
        f'postgresql://ada:{PASSWORD}"x@[::1/d"b',
    ],
)
def test_password_of_a_wrong_url_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        forthwith.App(url)
    assert PASSWORD not in str(refusal.value)


async def test_password_is_not_told_when_nobody_answers(logged: Callable[[], list[str]]) -> None:
    app = forthwith.App(f"postgresql://ada:{PASSWORD}@127.0.0.1:1/db?connect_timeout=2")
    with pytest.raises(ForthwithError) as refusal:
        await app.configure_task("work").defer_async(card=SECRET)
    assert isinstance(refusal.value, DatabaseUnavailable)
    texts = [*logged(), str(refusal.value), repr(refusal.value), repr(refusal.value.__cause__)]
    assert [text for text in texts if PASSWORD in text or SECRET in text] == []
    app.close()


def test_json_of_the_command_line_is_not_repeated() -> None:
    from click import BadParameter

    from forthwith.cli.parameters import json_object

    for text in (f'{{"card": {SECRET}}}', json.dumps([SECRET]), f'{{"card": "{SECRET}"'):
        with pytest.raises(BadParameter) as refusal:
            json_object(text)
        assert SECRET not in str(refusal.value.message)
