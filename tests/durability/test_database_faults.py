"""The database restarts, or drops connections, under a worker that runs jobs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from contextlib import suppress
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from forthwith.database.embedded_guard import server_pids
from tests.durability.steady_load import (
    assert_undisturbed,
    claim_times_s,
    defer_again,
    steady_load,
    wait_heard,
    wait_listening,
)
from tests.store.virtual_worker import defer, new_job, run, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith.database.embedded import EmbeddedServer
    from forthwith.verify.lab import Lab
    from tests.support.effects import Effects
    from tests.support.worker_process import WorkerProcess

    MakeLab = Callable[..., Awaitable[Lab]]
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


RETURN_MAX_S = 10.0
BACKEND = """
select pid from pg_stat_activity where datname = current_database() and application_name = %s limit 1
"""
TERMINATE_WORKERS = """
select count(pg_terminate_backend(pid)) from pg_stat_activity
where datname = current_database() and application_name like 'worker-%'
"""
SLOW_POLL_S = 600.0


async def stop_and_start(lab: Lab, *modes: str) -> None:
    """Restart the server, once for each mode, one after the other."""
    assert lab.server is not None
    for mode in modes:
        with lab.fault("restart", "database"):
            await asyncio.to_thread(lab.server.stop, mode)
            await asyncio.to_thread(lab.server.start)


async def kill_postmaster(lab: Lab) -> None:
    """Kill the postmaster; its children outlive it for a moment."""
    assert lab.server is not None
    with lab.fault("crash", "database"):
        os.kill(lab.server.pid() or 0, signal.SIGKILL)
        await asyncio.to_thread(lab.server.start)


async def kill_backend(lab: Lab) -> None:
    """Kill one backend: PostgreSQL ends all the others too, and starts anew by itself."""
    async with await lab.connect() as connection:
        [pid] = await (await connection.execute(BACKEND, ["worker-1"])).fetchone() or [0]
        with lab.fault("crash", "database"):
            os.kill(pid, signal.SIGKILL)
            with suppress(psycopg.OperationalError):
                while True:  # until it has noticed
                    await connection.execute("select 1")
            await answering(lab)


async def terminate_backends(lab: Lab) -> None:
    """Terminate every backend that serves a worker."""
    async with await lab.connect() as connection:
        with lab.fault("terminate", "connections") as ongoing:
            [(ongoing.hits,)] = await (await connection.execute(TERMINATE_WORKERS)).fetchall()
    assert ongoing.hits > 0


async def answering(lab: Lab) -> None:
    """Wait until the server takes connections."""
    while True:
        with suppress(psycopg.OperationalError):
            async with await lab.connect():
                return
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(
    ("name", "restart"),
    [
        ("fast stop", lambda lab: stop_and_start(lab, "fast")),
        ("immediate stop", lambda lab: stop_and_start(lab, "immediate")),
        pytest.param(
            "two stops at once",
            lambda lab: stop_and_start(lab, "fast", "immediate"),
            marks=pytest.mark.soak,
        ),
        ("postmaster killed", kill_postmaster),
        ("backend killed", kill_backend),
        pytest.param("backends terminated", terminate_backends, marks=pytest.mark.soak),
    ],
)
async def test_restart_under_load_loses_nothing_and_rescues_nobody(
    name: str,
    restart: Callable[[Lab], Awaitable[None]],
    make_lab: MakeLab,
    hurt_server: EmbeddedServer,
    wait_until: WaitUntil,
    record_figure: Callable[[str, float, str], None],
) -> None:
    lab = await make_lab(server=hurt_server)
    workers = [
        lab.start_worker(
            queues=["default", f"worker-{number}"], fetch_job_polling_interval=SLOW_POLL_S
        )
        for number in (1, 2, 3)
    ]
    await lab.wait_ready()
    held = await lab.defer("gate", "held", priority=1)
    backlog = [{"key": f"backlog {number}", "run_s": 0.05} for number in range(400)]
    await lab.defer_batch("work", backlog, priority=-1)
    async with steady_load(lab) as load:
        await wait_until(lambda: len(lab.starts()) > 50)
        await wait_until(lambda: lab.starts(held))
        await restart(lab)
        back_s = time.monotonic()
        await wait_listening(lab, *workers)
        listening_s = time.monotonic() - back_s
        await wait_until(lambda: load.last_accepted_s > back_s)
        deferred_s = load.last_accepted_s - back_s
    await wait_heard(lab, *workers)
    lab.open_gate("held")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)
    claims_s = [min(claim_times_s(verdict.history, worker, back_s)) for worker in workers]
    record_figure(f"{name}: claims again, median of the workers", median(claims_s), "s")
    record_figure(f"{name}: claims again, slowest worker", max(claims_s), "s")
    record_figure(f"{name}: all listen again", listening_s, "s")
    record_figure(f"{name}: a busy producer's defer is accepted again", deferred_s, "s")
    assert max(*claims_s, listening_s) < RETURN_MAX_S


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_worker_outlives_a_restart_and_commits_what_ran_meanwhile(
    mode: str, make_lab: MakeLab, hurt_server: EmbeddedServer, wait_until: WaitUntil
) -> None:
    lab = await make_lab(server=hurt_server)
    worker = lab.start_worker(concurrency=4)
    ids = {key: await lab.defer("gate", key) for key in ("ends", "goes on")}
    ids["in a thread"] = await lab.defer("gate_in_thread", "in a thread")
    await wait_until(lambda: len(lab.starts()) == 3)
    with lab.fault("outage", "database"):
        await asyncio.to_thread(hurt_server.stop, mode)
        lab.open_gate("ends")
        lab.open_gate("in a thread")
        await wait_until(lambda: lab.starts(ids["in a thread"])[0].ended_s)
        await wait_until(lambda: re.search("Could not record [12] outcomes", worker.output()))
        await asyncio.to_thread(hurt_server.start)
    async with await lab.connect() as connection:
        await wait_until(lambda: status_is(connection, ids["ends"], "succeeded"))
        await wait_until(lambda: status_is(connection, ids["in a thread"], "succeeded"))
        assert await status(connection, ids["goes on"]) == "doing"
        lab.open_gate("goes on")
        await wait_until(lambda: status_is(connection, ids["goes on"], "succeeded"))
        await defer_again(lab, "work", "after")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)
    assert len(verdict.history.leases) == 1


async def test_server_starts_again_though_a_backend_does_not_notice_that_its_postmaster_died(
    hurt_server: EmbeddedServer, wait_until: WaitUntil
) -> None:
    hurt_server.start()
    async with (
        await psycopg.AsyncConnection.connect(hurt_server.url, autocommit=True) as busy,
        await psycopg.AsyncConnection.connect(hurt_server.url, autocommit=True) as other,
    ):
        computing = asyncio.create_task(busy.execute("do 'begin loop end loop; end'"))
        pid = busy.info.backend_pid
        await wait_until(lambda: is_active(other, pid))
        os.kill(hurt_server.pid() or 0, signal.SIGKILL)
        await wait_until(lambda: hurt_server.pid() is None)
        assert pid in server_pids(hurt_server.data)
        await asyncio.to_thread(hurt_server.start)
        assert pid not in server_pids(hurt_server.data)
        with pytest.raises(psycopg.OperationalError):
            await computing
    with psycopg.connect(hurt_server.url) as connection:
        connection.execute("select 1")


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


def note(key: str) -> Any:
    """Return a job that leaves an effect."""
    return new_job(task="note", args=f'{{"key": "{key}"}}')


async def status_is(connection: Connection, job_id: int, expected: str) -> bool:
    """Whether the job has come so far."""
    with suppress(psycopg.OperationalError):
        return await status(connection, job_id) == expected
    return False


async def is_active(connection: Connection, pid: int) -> bool:
    """Whether that backend is at a statement."""
    query = "select from pg_stat_activity where pid = %s and state = 'active'"
    return await (await connection.execute(query, [pid])).fetchone() is not None


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
