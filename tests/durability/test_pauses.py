"""A queue is paused under load: nothing of it starts until it is resumed, whatever dies meanwhile."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import psycopg

import forthwith
from forthwith.database.embedded import open_embedded
from tests.support.effects import Effects, in_process
from tests.support.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    MakeWorkerProcess = Callable[..., WorkerProcess]
    WaitUntil = Callable[..., Awaitable[Any]]
    Connection = psycopg.AsyncConnection[Any]

APP = "tests.support.worker_app"
#: Nothing in these tests may depend on polling.
SLOW_POLLS: dict[str, Any] = {
    "concurrency": 3,
    "fetch_job_polling_interval": 600.0,
    "abort_job_polling_interval": 600.0,
}
#: It takes a second at the most. The tasks note their start in the database, on a busy machine.
STARTS_LATE_MAX = datetime.timedelta(seconds=5)
JOBS = 400


async def load(app: forthwith.App) -> None:
    """Defer jobs of the queue that will be paused."""
    note = in_process(app, "note", queue="mail")
    await note.batch_defer_async(*({"key": f"mail {number}"} for number in range(JOBS)))


async def noted(effects: Effects, prefix: str) -> int:
    return sum(effect.key.startswith(prefix) for effect in await effects.all("noted"))


async def held(connection: Connection) -> int:
    query = "select from forthwith.job where queue = 'mail' and worker_id is not null"
    return (await connection.execute(query)).rowcount


async def pause_under_load(
    app: forthwith.App, effects: Effects, connection: Connection, wait_until: WaitUntil
) -> int:
    """Pause the queue when some of its jobs have run. Returns how many have when no worker has any left."""

    async def some_ran() -> bool:
        return await noted(effects, "mail") >= 20

    async def none_is_held() -> bool:
        return await held(connection) == 0

    await wait_until(some_ran)
    await app.pause_queue_async("mail")
    await wait_until(none_is_held)
    ran = await noted(effects, "mail")
    assert ran < JOBS, "the queue was empty before it was paused"
    paused_at = (await app.paused_queues_async())["mail"]
    late = [
        effect for effect in await effects.all("noted") if effect.at > paused_at + STARTS_LATE_MAX
    ]
    assert not late
    return ran


async def pass_by(app: forthwith.App, effects: Effects, key: str, wait_until: WaitUntil) -> None:
    """Have a job of another queue run."""
    await in_process(app, "note", queue="other").defer_async(key=key)

    async def has_run() -> bool:
        return await noted(effects, key) == 1

    await wait_until(has_run)


async def resume(
    app: forthwith.App, effects: Effects, connection: Connection, wait_until: WaitUntil
) -> None:
    """Resume the queue, and see that each of its jobs runs once."""
    await app.resume_queue_async("mail")

    async def all_ended() -> bool:
        query = "select from forthwith.finished_job where queue = 'mail' and status = 'succeeded'"
        return (await connection.execute(query)).rowcount == JOBS

    await wait_until(all_ended, deadline_s=60)
    keys = [effect.key for effect in await effects.all("noted") if effect.key.startswith("mail")]
    assert sorted(keys) == sorted(f"mail {number}" for number in range(JOBS))
    query = "select from forthwith.finished_job where queue = 'mail' and attempts <> 1"
    assert (await connection.execute(query)).rowcount == 0


async def test_pause_holds_for_all_workers_and_survives_their_restart(
    app: forthwith.App,
    connection: Connection,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    effects = await Effects(connection).create()
    await load(app)
    workers = [make_worker_process(APP, **SLOW_POLLS) for _ in range(2)]
    ran = await pause_under_load(app, effects, connection, wait_until)
    await pass_by(app, effects, "while it is paused", wait_until)
    assert await workers[0].stop() == 0
    workers[1].kill()
    await make_worker_process(APP, **SLOW_POLLS).wait_ready()
    await pass_by(app, effects, "after the restart", wait_until)
    assert await noted(effects, "mail") == ran
    await resume(app, effects, connection, wait_until)


async def test_pause_survives_a_restart_of_the_database(
    tmp_path: Path, wait_until: WaitUntil
) -> None:
    server = open_embedded(tmp_path / "server", linger_s=0.1)
    worker = None
    try:
        app = forthwith.App(server.url)
        await app.migrate_async()
        async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as before:
            effects = await Effects(before).create()
            await load(app)
            worker = WorkerProcess(APP, server.url, tmp_path / "worker.log", **SLOW_POLLS)
            ran = await pause_under_load(app, effects, before, wait_until)
        await app.close_async()
        await asyncio.to_thread(server.stop, "immediate")
        await asyncio.to_thread(server.start)
        async with await psycopg.AsyncConnection.connect(server.url, autocommit=True) as after:
            effects = Effects(after)
            app = forthwith.App(server.url)
            await pass_by(app, effects, "after the restart", wait_until)
            assert await noted(effects, "mail") == ran
            assert list(await app.paused_queues_async()) == ["mail"]
            await resume(app, effects, after, wait_until)
        await app.close_async()
    finally:
        if worker is not None:
            worker.clean_up()
        server.remove()
