"""Faults at the moment when a task's SQL and its job's completion commit together."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

import forthwith
from forthwith.errors import DatabaseUnavailable
from forthwith.store.completing import Completing
from forthwith.verify.proxy import Proxy
from tests.support import ways
from tests.support.effects import Effects, in_process
from tests.support.workers import run_until_idle, status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    Connection = psycopg.AsyncConnection[Any]

each_way = pytest.mark.parametrize("way", [*ways.ASYNC, *ways.SYNC])
OURS = (ways.async_transaction, ways.transaction)
LATER = [pytest.param(patience_s, marks=pytest.mark.soak) for patience_s in (1.0, 2.0)]
INSERT = "insert into note values ('done')"


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with Proxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def proxied(proxy: Proxy, connection: Connection) -> AsyncIterator[forthwith.App]:
    """An app whose connections go through the proxy."""
    await connection.execute("create table note (text text)")
    app = forthwith.App(proxy.conninfo)
    async with app.open_async():
        yield app


async def notes(connection: Connection) -> int:
    row = await (await connection.execute("select count(*) from note")).fetchone()
    assert row is not None
    return int(row[0])


def declare(
    app: forthwith.App,
    url: str,
    way: Any,
    inside: Callable[[forthwith.JobContext], None],
    **options: Any,
) -> list[str]:
    """Declare the task `work`; return how its runs went, as it saw it."""
    runs: list[str] = []

    if way in ways.ASYNC:

        async def work(context: forthwith.JobContext) -> None:
            runs.append("began")
            async with way(context, url) as execute:
                await execute(INSERT)
                inside(context)
            runs.append("ended")
    else:

        def work(context: forthwith.JobContext) -> None:  # type: ignore[misc]
            runs.append("began")
            with way(context, url) as execute:
                execute(INSERT)
                inside(context)
            runs.append("ended")

    app.task(name="work", pass_context=True, **options)(work)
    return runs


@each_way
async def test_a_commit_whose_answer_was_lost_has_succeeded(
    proxied: forthwith.App,
    proxy: Proxy,
    connection: Connection,
    way: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def lose_answer(_context: forthwith.JobContext) -> None:
        proxy.lose_reply(containing="commit", only="forthwith" if way in OURS else "task")

    url = make_conninfo(proxy.conninfo, application_name="task")
    runs = declare(proxied, url, way, lose_answer, retry=3, lock="line")
    job_id = await proxied.tasks["work"].defer_async()
    await run_until_idle(proxied)
    assert proxy.counters.replies_lost == 1
    assert await notes(connection) == 1
    job = await proxied.job_manager.get_job_async(job_id)
    assert job is not None
    assert (job.status, job.attempts) == ("succeeded", 1)
    assert await proxied.job_manager.list_attempts_async(job_id) == []
    assert "LeaseLost" not in caplog.text
    # Our own block finds out and ends as ever; out of the caller's comes what his library makes of it.
    assert runs == (["began", "ended"] if way in OURS else ["began"])
    assert ("after it had succeeded" in caplog.text) == (way not in OURS)


@pytest.mark.parametrize("way", [ways.async_transaction, ways.transaction, ways.async_session])
async def test_whoever_cannot_ask_at_once_asks_again(
    proxied: forthwith.App,
    proxy: Proxy,
    connection: Connection,
    way: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def lose_answer(_context: forthwith.JobContext) -> None:
        proxy.lose_reply(containing="commit", only="forthwith" if way in OURS else "task")

    original, asked = Completing.fate_of, []

    async def fate_of(self: Completing, *question: Any) -> Any:
        asked.append(question)
        if len(asked) < 4:
            raise DatabaseUnavailable
        return await original(self, *question)

    monkeypatch.setattr(Completing, "fate_of", fate_of)
    url = make_conninfo(proxy.conninfo, application_name="task")
    declare(proxied, url, way, lose_answer)
    job_id = await proxied.tasks["work"].defer_async()
    await run_until_idle(proxied)
    assert len(asked) == 4
    assert (await notes(connection), await status(proxied, job_id)) == (1, "succeeded")


@pytest.mark.parametrize("patience_s", [0.3, 1.5, *LATER])
@pytest.mark.parametrize("is_ours", [True, False])
async def test_a_run_that_is_cancelled_while_it_commits_has_one_effect(
    proxied: forthwith.App,
    proxy: Proxy,
    connection: Connection,
    is_ours: bool,
    patience_s: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    @proxied.task(name="work", pass_context=True, retry=1)
    async def work(context: forthwith.JobContext) -> None:
        is_first = context.job.attempts == 0
        proxy.delay_s = 0.0
        if is_ours:
            async with asyncio.timeout(patience_s if is_first else None):
                async with context.transaction() as own:
                    await own.execute(INSERT)
                    proxy.delay_s = 0.06 if is_first else 0.0  # of every answer until the commit's
        else:
            own = await psycopg.AsyncConnection.connect(proxy.conninfo)
            try:
                await own.execute(INSERT)
                await context.complete_in(own)
                proxy.delay_s = 0.6 if is_first else 0.0
                async with asyncio.timeout(patience_s if is_first else None):
                    await own.commit()
            finally:
                proxy.delay_s = 0.0
                await own.close()

    job_id = await work.defer_async()
    await run_until_idle(proxied)
    assert (await notes(connection), await status(proxied, job_id)) == (1, "succeeded")
    assert "LeaseLost" not in caplog.text


@each_way
async def test_a_connection_that_was_lost_before_the_commit_fails_the_attempt(
    proxied: forthwith.App, proxy: Proxy, connection: Connection, database_url: str, way: Any
) -> None:
    def terminate(context: forthwith.JobContext) -> None:
        if context.job.attempts == 0:
            with psycopg.connect(database_url, autocommit=True) as other:
                terminated = other.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where state = 'idle in transaction' and datname = current_database()"
                ).fetchall()
            assert terminated == [(True,)]

    declare(proxied, database_url, way, terminate, retry=1)
    job_id = await proxied.tasks["work"].defer_async()
    await run_until_idle(proxied)
    assert (await notes(connection), await status(proxied, job_id)) == (1, "succeeded")
    assert len(await proxied.job_manager.list_attempts_async(job_id)) == 1


async def test_a_connection_that_was_lost_between_completion_and_commit_fails_the_attempt(
    proxied: forthwith.App, connection: Connection, database_url: str
) -> None:
    @proxied.task(name="work", pass_context=True, retry=1)
    async def work(context: forthwith.JobContext) -> None:
        own = await psycopg.AsyncConnection.connect(database_url)
        try:
            await own.execute(INSERT)
            await context.complete_in(own)
            if context.job.attempts == 0:
                await connection.execute("select pg_terminate_backend(%s)", [own.info.backend_pid])
            await own.commit()
        finally:
            await own.close()

    job_id = await work.defer_async()
    await run_until_idle(proxied)
    assert (await notes(connection), await status(proxied, job_id)) == (1, "succeeded")
    [attempt] = await proxied.job_manager.list_attempts_async(job_id)
    assert attempt.exception_type in {"AdminShutdown", "OperationalError"}


async def test_a_worker_killed_between_the_sql_and_the_commit_leaves_one_effect(
    app: forthwith.App,
    connection: Connection,
    effects: Effects,
    make_worker_process: Any,
    wait_until: Any,
) -> None:
    """One worker is killed in the midst of every way there is to write with the completion."""

    async def are_in_the_block() -> bool:
        cursor = await connection.execute(
            "select count(*) from pg_stat_activity "
            "where state = 'idle in transaction' and query ilike %s and datname = current_database()",
            ["%insert into effect%"],
        )
        return await cursor.fetchone() == (len(jobs),)

    jobs = {}
    for task, kinds in {"pay": ways.ASYNC, "pay_in_thread": ways.SYNC}.items():
        for way in kinds:
            jobs[way.__name__] = await in_process(app, task).defer_async(key=way.__name__)
    options = {"concurrency": len(jobs)}
    first = make_worker_process("tests.durability.exactly_once_app", **options)
    await wait_until(are_in_the_block)
    first.kill()
    make_worker_process("tests.durability.exactly_once_app", **options)
    for way, job_id in jobs.items():
        await wait_until(lambda job_id=job_id: is_finished(app, job_id))
        assert await status(app, job_id) == "succeeded", way
        [attempt] = await app.job_manager.list_attempts_async(job_id)
        assert attempt.kind == "crashed", way
    paid = [effect.key for effect in await effects.all("paid")]
    assert sorted(paid) == sorted(jobs)


async def test_a_worker_frozen_between_the_completion_and_the_commit_holds_the_job_for_a_while(
    app: forthwith.App,
    connection: Connection,
    effects: Effects,
    make_worker_process: Any,
    wait_until: Any,
    tmp_path: Path,
) -> None:
    async def has_completed() -> bool:
        cursor = await connection.execute(
            "select count(*) from pg_stat_activity where state = 'idle in transaction' "
            "and query ilike 'release%' and datname = current_database()"
        )
        return await cursor.fetchone() == (1,)

    options = {"stalled_worker_timeout": 1.5, "update_heartbeat_interval": 0.3}
    job_id = await in_process(app, "linger").defer_async(key=str(tmp_path / "go"))
    first = make_worker_process("tests.durability.exactly_once_app", **options)
    await wait_until(has_completed)
    first.send(signal.SIGSTOP)
    make_worker_process("tests.durability.exactly_once_app", **options)
    await wait_until(lambda: is_finished(app, job_id), deadline_s=60)
    assert await status(app, job_id) == "succeeded"
    (tmp_path / "go").touch()
    first.send(signal.SIGCONT)
    await wait_until(lambda: "failed" in first.output(), deadline_s=60)  # its commit could not be
    assert len(await effects.all("paid")) == 1
    job = await app.job_manager.get_job_async(job_id)
    assert job is not None
    assert (job.status, job.attempts, job.crashes) == ("succeeded", 2, 1)


async def is_finished(app: forthwith.App, job_id: int) -> bool:
    return await status(app, job_id) not in {"todo", "doing"}
