"""The database restarts, or drops connections, under a worker that runs jobs."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from forthwith.database.embedded import open_embedded
from forthwith.store.migrate import migrate
from tests.store.virtual_worker import defer, new_job, run, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from forthwith.database.embedded import EmbeddedServer
    from tests.support.effects import Effects
    from tests.support.worker_process import WorkerProcess

    MakeWorkerProcess = Callable[..., WorkerProcess]
    WaitUntil = Callable[..., Awaitable[Any]]
    Connection = psycopg.AsyncConnection[Any]

APP = "tests.durability.fault_app"
LISTENING = """
select pid from pg_stat_activity
where datname = current_database() and application_name = 'forthwith'
and query ilike 'listen%' and pid <> pg_backend_pid()
"""
TERMINATE = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name = 'forthwith' and pid <> pg_backend_pid()
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A PostgreSQL of the test's own, to be stopped and started."""
    server = open_embedded(tmp_path / "home", linger_s=0.1)
    yield server
    server.remove()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_worker_outlives_a_restart_and_commits_what_ran_meanwhile(
    mode: str,
    server: EmbeddedServer,
    tmp_path: Path,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    ended, still_runs = tmp_path / "ended", tmp_path / "still_runs"
    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        await migrate(connection)
        ids = await defer(connection, waiting_for(ended), waiting_for(still_runs))
    worker = make_worker_process(
        APP, environment={"FORTHWITH_DATABASE_URL": server.url}, concurrency=2
    )
    await wait_until(still_runs.with_suffix(".runs").exists)
    await wait_until(ended.with_suffix(".runs").exists)

    await asyncio.to_thread(server.stop, mode)
    ended.touch()
    await wait_until(ended.with_suffix(".done").exists)
    await wait_until(lambda: "Could not record 1 outcomes" in worker.output())
    await asyncio.to_thread(server.start)

    async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as connection:
        await wait_until(lambda: status_is(connection, ids[0], "succeeded"))
        assert await status(connection, ids[1]) == "doing"
        still_runs.touch()
        await wait_until(lambda: status_is(connection, ids[1], "succeeded"))
        [after] = await defer(connection, waiting_for(ended))
        await wait_until(lambda: status_is(connection, after, "succeeded"))
        for job_id in (*ids, after):
            assert await run(connection, "list_attempts", job_id=job_id) == []
        workers = await run(connection, "list_workers")
        assert [row[3] for row in workers] == [worker.pid]
    assert still_runs.with_suffix(".runs").read_text() == "x"
    assert ended.with_suffix(".runs").read_text() == "xx"
    assert worker.exit_status is None


async def test_worker_goes_on_after_all_of_its_connections_were_terminated(
    connection: Connection,
    effects: Effects,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    ids: list[int] = []
    worker = make_worker_process(APP, concurrency=5)
    for batch in range(4):
        jobs = [note(f"{batch}-{number}") for number in range(40)]
        ids += await defer(connection, *jobs)
        await wait_until(partial(noted, effects, len(ids) - 30))
        cursor = await connection.execute(TERMINATE)
        assert cursor.rowcount > 0
    await wait_until(lambda: all_succeeded(connection, ids))
    # Lost connections are no death: nothing was rescued, nothing ran twice.
    assert sorted(effect.job_id for effect in await effects.all("noted")) == ids
    assert len(await run(connection, "list_workers")) == 1
    assert worker.exit_status is None


async def test_worker_hears_again_after_its_listening_connection_has_died(
    connection: Connection,
    effects: Effects,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    make_worker_process(APP, fetch_job_polling_interval=600.0)
    [before] = await wait_until(lambda: listeners(connection))
    await connection.execute("select pg_terminate_backend(%s)", [before])
    [during] = await defer(connection, note("during"))
    await wait_until(lambda: status_is(connection, during, "succeeded"))
    await wait_until(lambda: other_listener(connection, before))
    [after] = await defer(connection, note("after"))
    await wait_until(lambda: status_is(connection, after, "succeeded"))


async def test_refused_connections_keep_a_worker_waiting_and_no_longer(
    connection: Connection,
    effects: Effects,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    worker = await make_worker_process(APP).wait_ready()
    [(database,)] = await (await connection.execute("select current_database()")).fetchall()
    async with await psycopg.AsyncConnection.connect(
        connection.info.dsn, dbname="postgres", autocommit=True
    ) as outside:
        await outside.execute(f'alter database "{database}" allow_connections false')
        await connection.execute(TERMINATE)
        [job_id] = await defer(connection, note("meanwhile"))
        await wait_until(lambda: "Could not" in worker.output())
        await outside.execute(f'alter database "{database}" allow_connections true')
    await wait_until(lambda: status_is(connection, job_id, "succeeded"))
    assert worker.exit_status is None


def waiting_for(path: Path) -> Any:
    """Return a job that runs until the file is there."""
    return new_job(task="wait_for_file", args=f'{{"path": "{path}"}}')


def note(key: str) -> Any:
    """Return a job that leaves an effect."""
    return new_job(task="note", args=f'{{"key": "{key}"}}')


async def status_is(connection: Connection, job_id: int, expected: str) -> bool:
    """Whether the job has come so far."""
    with suppress(psycopg.OperationalError):
        return await status(connection, job_id) == expected
    return False


async def all_succeeded(connection: Connection, ids: list[int]) -> bool:
    """Whether all jobs have succeeded."""
    cursor = await connection.execute(
        "select count(distinct id) from forthwith.finished_job"
        " where status = 'succeeded' and id = any(%s)",
        [ids],
    )
    return await cursor.fetchone() == (len(ids),)


async def noted(effects: Effects, at_least: int) -> bool:
    """Whether so many jobs have run."""
    return len(await effects.all("noted")) >= at_least


async def listeners(connection: Connection) -> list[int]:
    """Return the process ids of the backends that listen."""
    cursor = await connection.execute(LISTENING)
    return [pid for (pid,) in await cursor.fetchall()]


async def other_listener(connection: Connection, before: int) -> bool:
    """Whether another backend listens now."""
    now = await listeners(connection)
    return bool(now) and before not in now
