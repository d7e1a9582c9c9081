"""A session's search_path decides nothing of ours: look-alikes lie in wait wherever it leads."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import forthwith
from forthwith.store.migrate import migrate, migrations
from tests.support.look_alikes import HOSTILE_PATH, SPRUNG, set_traps
from tests.support.roles import column
from tests.support.workers import run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def trapped_url(database_url: str, connection: Connection) -> str:
    """The URL of a database with the schema, whose sessions are led to look-alikes."""
    await set_traps(connection)
    return database_url


@pytest.fixture
async def trapped(trapped_url: str) -> AsyncIterator[forthwith.App]:
    """An open app on it."""
    async with forthwith.App(trapped_url).open_async() as app:
        yield app


async def test_the_traps_work(trapped_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(trapped_url, autocommit=True) as session:
        for statement in (
            "select clock_timestamp()",
            "select 'a'::text",
            "select from forthwith.migration where name = 'x'::pg_catalog.text",
        ):
            with pytest.raises(psycopg.Error, match=f"{SPRUNG}|domain"):
                await session.execute(statement.encode())


async def test_migrations_make_what_they_mean(empty_database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(
        empty_database_url, autocommit=True
    ) as connection:
        await set_traps(connection, before_schema=True)
    async with await psycopg.AsyncConnection.connect(
        empty_database_url, autocommit=True
    ) as session:
        assert await migrate(session) == [migration.name for migration in migrations()]
        assert await migrate(session) == []
        await session.execute("set search_path = pg_catalog")
        baked_in = await column(
            session,
            "select distinct pg_describe_object(classid, objid, objsubid) from pg_depend"
            " where refclassid in ('pg_proc'::regclass, 'pg_operator'::regclass, 'pg_type'::regclass)"
            " and (pg_identify_object(refclassid, refobjid, refobjsubid)).schema = 'public'"
            " and (pg_identify_object(classid, objid, objsubid)).schema = 'forthwith'",
        )
    assert baked_in == []


async def test_worker_uses_our_names(trapped: forthwith.App, wait_until: Any) -> None:
    paths: list[str] = []

    @trapped.task(name="work")
    async def work() -> None: ...

    @trapped.task(name="fail", retry=1)
    def fail() -> None:
        raise ValueError

    @trapped.task(name="commit", pass_context=True)
    async def commit(context: forthwith.JobContext) -> None:
        async with context.transaction() as connection:
            paths.extend(await column(connection, "show search_path"))

    @trapped.task(name="once", on_crash="fail")
    async def once() -> None: ...

    @trapped.task(name="hang")
    async def hang() -> None:
        await asyncio.Event().wait()

    @trapped.periodic(cron="* * * * * *")
    @trapped.task(name="tick")
    async def tick(timestamp: int) -> None: ...

    ids = [
        await work.configure(lock="L").defer_async(),
        await work.configure(lock="L", priority=3).defer_async(),
        await work.configure(queueing_lock="Q").defer_async(),
        await work.configure(schedule_in={"milliseconds": 300}).defer_async(),
        await commit.configure(lock="L").defer_async(),
        await once.defer_async(),
        *await work.batch_defer_async({}, {}),
    ]
    failing, hanging = await fail.defer_async(), await hang.defer_async()
    manager = trapped.job_manager
    async with running_worker(trapped, concurrency=3):

        async def ended() -> bool:
            return {await status(trapped, job_id) for job_id in ids} == {"succeeded"}

        await wait_until(ended)
        assert await manager.cancel_job_by_id_async(hanging, abort=True)
        await wait_until(lambda: manager.list_jobs_async(task="tick", status="succeeded"))
        await wait_until(lambda: manager.list_jobs_async(id=hanging, status="aborted"))
    assert await status(trapped, failing) == "failed"
    assert paths == [HOSTILE_PATH]


async def test_dead_workers_jobs_are_rescued(
    trapped: forthwith.App, connection: Connection, wait_until: Any
) -> None:
    @trapped.task(name="work")
    async def work() -> None: ...

    job_id = await work.defer_async()
    [worker_id] = await column(
        connection,
        "insert into forthwith.worker (name, host, pid, concurrency, last_seen, lease_expires_at)"
        " values ('dead', '', 1, 1, now() - interval '1 h', now() - interval '1 h') returning id",
    )
    await connection.execute(
        "update forthwith.job set worker_id = %s, lease_token = 1, claimed_at = now() where id = %s",
        [worker_id, job_id],
    )
    manager = trapped.job_manager
    options = {"stalled_worker_timeout": 2.0, "update_heartbeat_interval": 0.2}
    async with running_worker(trapped, **options):
        await wait_until(lambda: manager.list_jobs_async(id=job_id, status="succeeded"), 60)


async def test_manager_uses_our_names(trapped: forthwith.App) -> None:
    @trapped.task(name="work", queue="q")
    async def work() -> None: ...

    manager, now = trapped.job_manager, datetime.datetime.now(tz=datetime.UTC)
    waiting, ended, running = [await work.configure(lock="L").defer_async() for _ in range(3)]
    assert await manager.cancel_job_by_id_async(waiting)
    await manager.retry_job_by_id_async(waiting, retry_at=now)
    await manager.finish_job_by_id_async(ended, forthwith_status("failed"), delete_job=False)
    assert (await manager.get_job_async(ended)).status == "failed"
    assert (await manager.get_job_status_async(running)).value == "todo"
    assert len(await manager.list_jobs_async(queue="q", lock="L")) == 3
    assert (await manager.list_queues_async())[0]["name"] == "q"
    assert (await manager.list_tasks_async())[0]["name"] == "work"
    assert (await manager.list_locks_async())[0]["name"] == "L"
    assert (await manager.count_jobs_async())["todo"] == 2
    assert await manager.list_attempts_async(ended) == []
    assert await manager.list_workers_async() == []
    assert await manager.prune_stalled_workers(1.0) == []
    assert list(await manager.get_stalled_jobs(seconds_since_heartbeat=1.0)) == []
    await run_until_idle(trapped)
    await manager.delete_old_jobs(0, include_failed=True)
    assert await manager.list_jobs_async() == []
    await trapped.schema_manager.check_async()
    assert await trapped.check_connection_async()


async def test_callers_connection_uses_our_names_and_keeps_its_own(
    trapped: forthwith.App, trapped_url: str
) -> None:
    work = trapped.configure_task("work", lock="L")
    manager = trapped.job_manager
    connecting = psycopg.AsyncConnection.connect(trapped_url)
    async with await connecting as connection:
        work = trapped.configure_task("work", lock="L", connection=connection)
        first, second = await work.defer_async(), await work.defer_async()
        assert (await manager.get_job_status_async(first, connection)).value == "todo"
        assert await manager.cancel_job_by_id_async(first, connection=connection)
        assert await column(connection, "show search_path") == [HOSTILE_PATH]
        await connection.commit()
        assert await column(connection, "show search_path") == [HOSTILE_PATH]
    assert await status(trapped, first) == "cancelled"
    assert await status(trapped, second) == "todo"


def test_callers_sync_connection_uses_our_names_and_keeps_its_own(trapped_url: str) -> None:
    app = forthwith.App(trapped_url)
    show = "show search_path"
    with app.open(), psycopg.connect(trapped_url) as connection:
        job_id = app.configure_task("work", connection=connection).defer()
        assert app.job_manager.get_job_status(job_id, connection).value == "todo"
        assert app.job_manager.cancel_job_by_id(job_id, connection=connection)
        assert connection.execute(show).fetchall() == [(HOSTILE_PATH,)]
        connection.commit()
        assert app.job_manager.get_job(job_id).status == "cancelled"
        assert app.connector.execute_query_all(show) == [{"search_path": HOSTILE_PATH}]


async def test_grants_use_our_names(trapped: forthwith.App, trapped_url: str) -> None:
    [user] = await trapped.connector.execute_query_all_async("select current_user as name")
    await trapped.schema_manager.grant_async(work=[user["name"]])


def forthwith_status(name: str) -> Any:
    """Return a status as Procrastinate's enumeration has it."""
    from procrastinate.jobs import Status

    return Status(name)
