"""Every method of Procrastinate's JobManager, asynchronous and synchronous."""

from __future__ import annotations

import asyncio
import datetime
import inspect
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate import jobs, manager

from forthwith.errors import AlreadyEnqueued, ConnectorException, InvalidArgument, NoResult
from tests.support.workers import run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    import forthwith
    from tests.support.worker_process import WorkerProcess

NOT_THERE = {"fetch_job", "listen_for_jobs"}


def now() -> datetime.datetime:
    return datetime.datetime.now(tz=datetime.UTC)


@pytest.fixture
async def mixed(app: forthwith.App) -> dict[str, int]:
    """Jobs of two tasks, in two queues, with and without a lock: their ids by status."""

    @app.task(name="good", queue="q1")
    def good() -> None: ...

    @app.task(name="bad", queue="q2", lock="l")
    def bad() -> None:
        raise ValueError

    ids = {"succeeded": await good.defer_async(), "failed": await bad.defer_async()}
    await run_until_idle(app)
    ids["cancelled"] = await bad.configure(queueing_lock="ql").defer_async(n=1)
    await app.job_manager.cancel_job_by_id_async(ids["cancelled"])
    ids["todo"] = await good.configure(lock="l").defer_async(n=2)
    return ids


def found(listed: Any) -> set[int | None]:
    return {job.id for job in listed}


async def test_no_method_of_procrastinates_is_missing(app: forthwith.App) -> None:
    for name, method in inspect.getmembers(manager.JobManager, inspect.isfunction):
        if name.startswith("_") or name in NOT_THERE:
            continue
        ours = getattr(app.job_manager, name)
        assert inspect.iscoroutinefunction(ours) == inspect.iscoroutinefunction(method), name
        theirs = inspect.signature(method).parameters
        names = inspect.signature(ours).parameters
        flexible = any(p.kind is p.VAR_KEYWORD for p in names.values())
        assert flexible or set(theirs) - {"self"} <= set(names), name


async def test_what_is_not_there_says_what_to_do_instead(app: forthwith.App) -> None:
    with pytest.raises(NotImplementedError, match="run_worker_async"):
        await app.job_manager.fetch_job(None, worker_id=1)
    with pytest.raises(NotImplementedError, match="listens by itself"):
        await app.job_manager.listen_for_jobs(on_notification=None, queues=None)  # type: ignore[arg-type]


async def test_jobs_are_deferred_by_the_manager(app: forthwith.App) -> None:
    def job(number: int) -> jobs.Job:
        return jobs.Job(
            queue="q",
            lock=None,
            queueing_lock=f"ql{number}",
            task_name="t",
            task_kwargs={"number": number},
        )

    job_manager = app.job_manager
    deferred = [await job_manager.defer_job_async(job(1)), job_manager.defer_job(job(2))]
    deferred += await job_manager.batch_defer_jobs_async([job(3), job(4)])
    deferred += job_manager.batch_defer_jobs([job(5)])
    assert [one.id for one in deferred] == [1, 2, 3, 4, 5]
    assert {one.status for one in deferred} == {"todo"}
    assert await job_manager.list_jobs_async() == deferred
    with pytest.raises(AlreadyEnqueued):
        job_manager.defer_job(job(1))


async def test_a_jobs_status_is_told(app: forthwith.App, mixed: dict[str, int]) -> None:
    for expected, job_id in mixed.items():
        assert await app.job_manager.get_job_status_async(job_id) is jobs.Status(expected)
        assert app.job_manager.get_job_status(job_id) is jobs.Status(expected)
    with pytest.raises(NoResult):
        await app.job_manager.get_job_status_async(999)
    with pytest.raises(NoResult):
        app.job_manager.get_job_status(999)


async def test_jobs_are_listed_by_every_filter(app: forthwith.App, mixed: dict[str, int]) -> None:
    one, two, three, four = mixed.values()
    filters: list[tuple[dict[str, Any], set[int]]] = [
        ({}, {one, two, three, four}),
        ({"id": two}, {two}),
        ({"queue": "q1"}, {one, four}),
        ({"task": "bad"}, {two, three}),
        ({"status": "todo"}, {four}),
        ({"status": "failed"}, {two}),
        ({"lock": "l"}, {two, three, four}),
        ({"queueing_lock": "ql"}, {three}),
        ({"queue": "q1", "status": "succeeded"}, {one}),
        ({"worker_id": 999}, set()),
    ]
    for options, expected in filters:
        assert found(await app.job_manager.list_jobs_async(**options)) == expected
        assert found(app.job_manager.list_jobs(**options)) == expected
    assert found(app.job_manager.list_jobs(two)) == {two}
    listed = await app.job_manager.list_jobs_async()
    assert [job.id for job in listed] == sorted(mixed.values())
    assert all(type(job) is jobs.Job for job in listed)


async def test_queues_tasks_and_locks_are_counted(
    app: forthwith.App, mixed: dict[str, int]
) -> None:
    none = dict.fromkeys(("todo", "doing", "succeeded", "failed", "cancelled", "aborted"), 0)
    job_manager = app.job_manager
    good = {**none, "jobs_count": 2, "succeeded": 1, "todo": 1}
    bad = {**none, "jobs_count": 2, "failed": 1, "cancelled": 1}
    assert await job_manager.list_queues_async() == [
        {"name": "q1", **good},
        {"name": "q2", **bad},
    ]
    assert job_manager.list_queues(queue="q2") == [{"name": "q2", **bad}]
    assert await job_manager.list_tasks_async(task="good") == [{"name": "good", **good}]
    assert job_manager.list_tasks() == [{"name": "bad", **bad}, {"name": "good", **good}]
    lock = {**none, "jobs_count": 3, "todo": 1, "failed": 1, "cancelled": 1}
    assert await job_manager.list_locks_async(lock="l") == [{"name": "l", **lock}]
    assert job_manager.list_locks(status="todo") == [
        {"name": "l", **none, "jobs_count": 1, "todo": 1}
    ]


@pytest.mark.parametrize("how", ["async", "sync", "job"])
async def test_a_job_that_failed_or_was_cancelled_is_retried_by_hand(
    app: forthwith.App, mixed: dict[str, int], how: str
) -> None:
    job_manager = app.job_manager
    for job_id in (mixed["failed"], mixed["cancelled"]):
        changes: dict[str, Any] = {"priority": 4, "queue": "q3", "lock": "other"}
        if how == "async":
            await job_manager.retry_job_by_id_async(job_id, now(), **changes)
        elif how == "sync":
            job_manager.retry_job_by_id(job_id, now(), **changes)
        else:
            (before,) = await job_manager.list_jobs_async(id=job_id)
            await job_manager.retry_job(before, **changes)
        (job,) = await job_manager.list_jobs_async(id=job_id)
        assert (job.status, job.priority, job.queue, job.lock) == ("todo", 4, "q3", "other")
        assert job.attempts == (1 if job_id == mixed["failed"] else 0)


async def test_a_job_is_retried_later(app: forthwith.App, mixed: dict[str, int]) -> None:
    at = now() + datetime.timedelta(hours=1)
    await app.job_manager.retry_job_by_id_async(mixed["failed"], at)
    (job,) = await app.job_manager.list_jobs_async(id=mixed["failed"])
    assert job.scheduled_at == at
    await run_until_idle(app)
    assert await status(app, mixed["failed"]) == "todo"


async def test_what_cannot_be_retried_is_refused(app: forthwith.App, mixed: dict[str, int]) -> None:
    for job_id in (mixed["succeeded"], mixed["todo"], 999):
        with pytest.raises(ConnectorException):
            await app.job_manager.retry_job_by_id_async(job_id, now())
        with pytest.raises(ConnectorException):
            app.job_manager.retry_job_by_id(job_id, now())
    with pytest.raises(InvalidArgument):
        app.job_manager.retry_job_by_id(mixed["failed"], datetime.datetime(2050, 1, 1))  # noqa: DTZ001


async def test_a_running_job_that_is_retried_is_taken_from_its_worker(
    app: forthwith.App, wait_until: Callable[..., Any]
) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    @app.task(name="slow")
    async def slow() -> None:
        started.set()
        await finish.wait()

    async with running_worker(app):
        job_id = await slow.defer_async()
        await wait_until(started.is_set)
        (job,) = await app.job_manager.list_jobs_async(id=job_id)
        await app.job_manager.retry_job(job, now() + datetime.timedelta(hours=1))
        finish.set()
    details = await app.job_manager.get_job_async(job_id)
    assert details is not None
    assert (details.status, details.attempts) == ("todo", 1)


@pytest.mark.parametrize("delete_job", [False, True])
async def test_a_job_is_finished_by_hand(
    app: forthwith.App, mixed: dict[str, int], delete_job: bool
) -> None:
    job_manager = app.job_manager
    (job,) = await job_manager.list_jobs_async(id=mixed["todo"])
    with pytest.raises(InvalidArgument, match="status"):
        await job_manager.finish_job(job, jobs.Status.DOING, delete_job=False)
    await job_manager.finish_job(job, jobs.Status.FAILED, delete_job=delete_job)
    assert await status(app, mixed["todo"]) == (None if delete_job else "failed")
    with pytest.raises(ConnectorException):
        await job_manager.finish_job_by_id_async(999, jobs.Status.FAILED, delete_job=False)


async def test_old_jobs_are_deleted(
    app: forthwith.App,
    mixed: dict[str, int],
    connection: psycopg.AsyncConnection[Any],
) -> None:
    async def left(**options: Any) -> set[str]:
        await app.job_manager.delete_old_jobs(2, **options)
        return {str(job.status) for job in await app.job_manager.list_jobs_async()}

    assert await left(include_failed=True) == set(mixed)
    await connection.execute(
        "update forthwith.finished_job set finished_at = finished_at - interval '3 hours'"
    )
    assert await left(queue="q2") == {"succeeded", "failed", "cancelled", "todo"}
    assert await left() == {"failed", "cancelled", "todo"}
    assert await left(include_cancelled=True) == {"failed", "todo"}
    assert await left(include_failed=True, include_aborted=True) == {"todo"}


async def test_abort_requests_are_listed(
    app: forthwith.App, wait_until: Callable[..., Any]
) -> None:
    started, finish = asyncio.Event(), asyncio.Event()

    @app.task(name="deaf")
    async def deaf() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await finish.wait()

    async with running_worker(app):
        job_id = await deaf.defer_async()
        await wait_until(started.is_set)
        await app.job_manager.cancel_job_by_id_async(job_id, abort=True)
        assert await app.job_manager.list_jobs_to_abort_async() == [job_id]
        assert await app.job_manager.list_jobs_to_abort_async(queue="other") == []
        (job,) = await app.job_manager.list_jobs_async(id=job_id)
        assert job.abort_requested
        finish.set()


async def test_jobs_of_a_frozen_worker_are_stalled_until_they_are_rescued(
    app: forthwith.App,
    make_worker_process: Callable[..., WorkerProcess],
    wait_until: Callable[..., Any],
) -> None:
    import signal

    job_id = await app.configure_task("sleep").defer_async(duration_s=600)
    worker = make_worker_process("tests.support.worker_app")
    await wait_until(lambda: has_status(app, job_id, "doing"))
    assert await app.job_manager.get_stalled_jobs() == []
    worker.send(signal.SIGSTOP)

    async def stalled() -> list[jobs.Job]:
        return list(await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=0.1))

    (job,) = await wait_until(stalled)
    assert (job.id, job.status) == (job_id, "doing")
    find = app.job_manager.get_stalled_jobs
    assert await find(seconds_since_heartbeat=0.1, queue="other") == []
    assert await find(seconds_since_heartbeat=0.1, task_name="other") == []
    with pytest.warns(DeprecationWarning, match="nb_seconds"):
        assert await find(nb_seconds=0) == [job]
    await app.job_manager.retry_job(job)
    assert await status(app, job_id) == "todo"


async def test_workers_are_registered_and_pruned_by_hand(app: forthwith.App) -> None:
    job_manager = app.job_manager
    one, two = await job_manager.register_worker(), await job_manager.register_worker()
    await job_manager.update_heartbeat(one)
    assert {worker.id for worker in await job_manager.list_workers_async()} == {one, two}
    assert await job_manager.prune_stalled_workers(600) == []
    await job_manager.unregister_worker(one)
    assert await job_manager.prune_stalled_workers(0) == [two]
    assert job_manager.list_workers() == []


async def has_status(app: forthwith.App, job_id: int, expected: str) -> bool:
    return await status(app, job_id) == expected
