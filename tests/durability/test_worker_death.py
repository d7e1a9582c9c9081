"""Workers that die, freeze, block or are stopped while they run jobs."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import psycopg

from tests.support.effects import Effects, in_process
from tests.support.workers import status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import forthwith
    from tests.support.worker_process import WorkerProcess

    MakeWorkerProcess = Callable[..., WorkerProcess]
    WaitUntil = Callable[..., Awaitable[Any]]
    SetFlag = Callable[..., Awaitable[None]]
    Connection = psycopg.AsyncConnection[Any]

APP = "tests.durability.fault_app"
SHORT_LEASE: dict[str, Any] = {"update_heartbeat_interval": 0.2, "stalled_worker_timeout": 1.0}
# Nothing in these tests may depend on polling.
QUICK: dict[str, Any] = {**SHORT_LEASE, "fetch_job_polling_interval": 60.0}


async def attempts(app: forthwith.App, job_id: int) -> list[tuple[int, str]]:
    """Return the number and the kind of a job's failed attempts."""
    listed = await app.job_manager.list_attempts_async(job_id)
    return [(attempt.attempt, attempt.kind) for attempt in listed]


async def test_job_of_a_killed_worker_runs_again_elsewhere_with_the_crash_in_its_history(
    app: forthwith.App,
    effects: Effects,
    set_flag: SetFlag,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    job_id = await in_process(app, "wait_for_flag").defer_async(key="job")
    victim = make_worker_process(APP, **QUICK)
    await wait_until(lambda: effects.all("started"))
    survivor = await make_worker_process(APP, **QUICK).wait_ready()
    await set_flag("job 2")
    victim.kill()

    await wait_until(lambda: status_is(app, job_id, "succeeded"))
    assert [effect.pid for effect in await effects.all("started")] == [victim.pid, survivor.pid]
    assert await attempts(app, job_id) == [(1, "crashed")]
    job = await app.job_manager.get_job_async(job_id)
    assert job is not None
    assert (job.attempts, job.crashes) == (2, 1)


async def test_completion_of_a_frozen_worker_is_refused_and_the_second_run_stands(
    app: forthwith.App,
    effects: Effects,
    set_flag: SetFlag,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    job_id = await in_process(app, "wait_for_flag").defer_async(key="job")
    frozen = make_worker_process(APP, **QUICK)
    await wait_until(lambda: effects.all("started"))
    other = make_worker_process(APP, **QUICK)
    await other.wait_ready()
    frozen.send(signal.SIGSTOP)
    await wait_until(lambda: count_is(effects, "started", 2))

    await set_flag("job 1")  # the frozen run may end as soon as it thaws
    frozen.send(signal.SIGCONT)
    await wait_until(lambda: "LeaseLost: job" in frozen.output())
    assert await status(app, job_id) == "doing"
    await set_flag("job 2")
    await wait_until(lambda: status_is(app, job_id, "succeeded"))

    assert await attempts(app, job_id) == [(1, "crashed")]
    job = await app.job_manager.get_job_async(job_id)
    assert job is not None
    assert job.attempts == 2
    # The thawed worker has registered anew and works on.
    await other.stop()
    again = await in_process(app, "note").defer_async(key="after")
    await wait_until(lambda: status_is(app, again, "succeeded"))


async def test_worker_that_takes_over_its_own_lost_job_ends_the_second_run_too(
    app: forthwith.App,
    connection: Connection,
    effects: Effects,
    set_flag: SetFlag,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    job_id = await in_process(app, "wait_for_flag").defer_async(key="job")
    worker = make_worker_process(APP, concurrency=2, **QUICK)
    await wait_until(lambda: effects.all("started"))
    # As after a pause that was longer than the lease, with nobody else to take over.
    await wait_until(lambda: is_rescued_at_once(connection))
    await wait_until(lambda: "was taken for dead" in worker.output())
    await connection.execute("select pg_notify('forthwith_wake', 'queue:')")
    await wait_until(lambda: count_is(effects, "started", 2))
    await set_flag("job 1")
    await wait_until(lambda: "LeaseLost: job" in worker.output())
    await set_flag("job 2")
    await wait_until(lambda: status_is(app, job_id, "succeeded"))


async def test_worker_that_is_stopped_gives_back_what_has_not_started(
    app: forthwith.App,
    effects: Effects,
    set_flag: SetFlag,
    make_worker_process: MakeWorkerProcess,
    connection: Connection,
    wait_until: WaitUntil,
) -> None:
    for number in range(200):  # so that the worker claims ahead
        await in_process(app, "note").defer_async(key=str(number))
    ids = [
        await in_process(app, "wait_for_flag").defer_async(key=f"job{number}")
        for number in range(30)
    ]
    worker = make_worker_process(APP, concurrency=2, **QUICK)
    await wait_until(lambda: count_is(effects, "started", 2))
    worker.send(signal.SIGTERM)
    await wait_until(lambda: "finishing what runs" in worker.output())
    await wait_until(lambda: only_two_are_claimed(connection))
    await set_flag("job0 1", "job1 1")
    await wait_until(lambda: worker.exit_status is not None)
    assert worker.exit_status == 0

    done = {job_id for job_id in ids if await status(app, job_id) == "succeeded"}
    ran = {effect.job_id for effect in await effects.all("started")}
    assert done == ran
    cursor = await connection.execute(
        "select id, attempts, crashes, worker_id from forthwith.job order by id"
    )
    rest = [job_id for job_id in ids if job_id not in done]
    assert await cursor.fetchall() == [(job_id, 0, 0, None) for job_id in rest]
    assert await app.job_manager.list_workers_async() == []


async def test_second_signal_hurries_the_worker_and_uses_no_attempt(
    app: forthwith.App,
    effects: Effects,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    tasks = ("wait_for_flag", "wait_in_thread")
    ids = [await in_process(app, task).defer_async(key=task) for task in tasks]
    worker = make_worker_process(APP, concurrency=2, **QUICK)
    await wait_until(lambda: count_is(effects, "started", 2))
    worker.send(signal.SIGTERM)
    await wait_until(lambda: "finishing what runs" in worker.output())
    assert worker.exit_status is None
    worker.send(signal.SIGTERM)
    await wait_until(lambda: worker.exit_status is not None, 10)

    assert worker.exit_status == 0
    for job_id in ids:
        job = await app.job_manager.get_job_async(job_id)
        assert job is not None
        assert (job.status, job.attempts, job.crashes) == ("todo", 0, 0)


async def test_blocked_event_loop_costs_no_lease(
    app: forthwith.App,
    effects: Effects,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    job_id = await in_process(app, "block_the_loop").defer_async(key="job", duration_s=4.0)
    make_worker_process(APP, **QUICK)
    await wait_until(lambda: effects.all("started"))
    await make_worker_process(APP, **QUICK).wait_ready()
    await wait_until(lambda: status_is(app, job_id, "succeeded"))
    assert len(await effects.all("started")) == 1
    assert await attempts(app, job_id) == []


async def test_job_that_kills_its_workers_is_failed_as_poison_and_its_neighbours_succeed(
    app: forthwith.App,
    effects: Effects,
    set_flag: SetFlag,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    await set_flag("before 2", "before 3")
    before = await in_process(app, "wait_for_flag").defer_async(key="before")
    poison = await in_process(app, "exit").defer_async(key="poison")
    after = [await in_process(app, "note").defer_async(key=str(number)) for number in range(20)]
    worker = make_worker_process(APP, concurrency=10, **QUICK)

    async def over() -> bool:
        nonlocal worker
        if worker.exit_status is not None:  # as a supervisor does
            worker = make_worker_process(APP, concurrency=10, **QUICK)
        return await status(app, poison) == "failed" and all(
            [await status(app, job_id) == "succeeded" for job_id in [before, *after]]
        )

    await wait_until(over, 60)
    assert len([e for e in await effects.all("started") if e.job_id == poison]) == 3
    assert await attempts(app, poison) == [(1, "crashed"), (2, "crashed"), (3, "crashed")]


async def test_job_that_must_not_run_twice_fails_when_its_worker_is_killed(
    app: forthwith.App,
    effects: Effects,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    job_id = await in_process(app, "once").defer_async(key="job")
    victim = make_worker_process(APP, **QUICK)
    await wait_until(lambda: effects.all("started"))
    await make_worker_process(APP, **QUICK).wait_ready()
    victim.kill()
    await wait_until(lambda: status_is(app, job_id, "failed"))
    assert len(await effects.all("started")) == 1


async def test_job_of_an_unknown_task_waits_for_a_worker_that_knows_it(
    app: forthwith.App,
    effects: Effects,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    strange = await in_process(app, "strange").defer_async()
    note = await in_process(app, "note").defer_async(key="known")
    worker = make_worker_process(APP, **QUICK)
    await wait_until(lambda: status_is(app, note, "succeeded"))
    assert "does not know task 'strange'" in worker.output()
    assert await status(app, strange) == "todo"
    make_worker_process("tests.durability.strange_app", **QUICK)
    await wait_until(lambda: status_is(app, strange, "succeeded"))
    job = await app.job_manager.get_job_async(strange)
    assert job is not None
    assert job.attempts == 1


async def status_is(app: forthwith.App, job_id: int, expected: str) -> bool:
    """Whether the job has come so far."""
    return await status(app, job_id) == expected


async def count_is(effects: Effects, kind: str, expected: int) -> bool:
    """Whether there are that many effects."""
    return len(await effects.all(kind)) == expected


async def is_rescued_at_once(connection: Connection) -> bool:
    """Let the lease expire and rescue, in one transaction. False: the worker's own sweep was in our way."""
    rescued: list[object] = []
    async with connection.transaction() as expiring:
        await connection.execute("update forthwith.worker set lease_expires_at = '-infinity'")
        cursor = await connection.execute("select forthwith.rescue('1 hour', '0')")
        rescued = await cursor.fetchall()
        if not rescued:
            raise psycopg.Rollback(expiring)  # the lease must not expire for the worker's own sweep
    return bool(rescued)


async def only_two_are_claimed(connection: Connection) -> bool:
    """Whether all that has not started was given back."""
    cursor = await connection.execute(
        "select count(*) from forthwith.job where worker_id is not null"
    )
    return await cursor.fetchone() == (2,)
