"""Every option of `run_worker`."""

from __future__ import annotations

import asyncio
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate.app import WorkerOptions

import forthwith
from forthwith.errors import InvalidArgument
from forthwith.worker import Worker
from tests.support.effects import in_process
from tests.support.workers import count, run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.worker_process import WorkerProcess


@pytest.fixture
def work(app: forthwith.App) -> Any:
    @app.task(name="work")
    async def work() -> None: ...

    return work


async def test_every_option_of_procrastinate_is_taken(app: forthwith.App, work: Any) -> None:
    async def around(call_next: Any, context: Any, worker: Any) -> Any:
        return await call_next()

    options: dict[str, Any] = {
        "queues": ("default",),
        "name": "ada",
        "concurrency": 2,
        "wait": False,
        "fetch_job_polling_interval": 0.5,
        "abort_job_polling_interval": 0.5,
        "shutdown_graceful_timeout": 1.0,
        "listen_notify": True,
        "delete_jobs": forthwith.DeleteJobCondition.NEVER,
        "additional_context": {"a": 1},
        "install_signal_handlers": False,
        "update_heartbeat_interval": 0.5,
        "stalled_worker_timeout": 5.0,
        "task_middleware": [around],
        "worker_middleware": [around],
    }
    assert set(options) == set(WorkerOptions.__annotations__)
    job_id = await work.defer_async()
    await app.run_worker_async(**options)
    assert await status(app, job_id) == "succeeded"


async def test_an_unknown_option_is_refused(app: forthwith.App) -> None:
    with pytest.raises(TypeError, match="concurency"):
        await app.run_worker_async(concurency=2)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("queues", "mail"),
        ("concurrency", 0),
        ("fetch_job_polling_interval", 0),
        ("shutdown_graceful_timeout", -1),
        ("delete_jobs", "sometimes"),
        ("stalled_worker_timeout", 1.0),
    ],
)
async def test_a_wrong_value_is_refused_by_its_name(
    app: forthwith.App, option: str, value: Any
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        await app.run_worker_async(**{option: value})
    assert refused.value.argument == option


async def test_a_worker_takes_only_the_queues_that_it_names(app: forthwith.App, work: Any) -> None:
    ids = {queue: await work.configure(queue=queue).defer_async() for queue in "abc"}
    await run_until_idle(app, queues=["a", "b"])
    assert {queue: await status(app, ids[queue]) for queue in "abc"} == {
        "a": "succeeded",
        "b": "succeeded",
        "c": "todo",
    }
    await run_until_idle(app, queues=None)
    assert await status(app, ids["c"]) == "succeeded"


async def test_concurrency_is_how_many_jobs_run_at_once(app: forthwith.App) -> None:
    running, most = 0, 0

    @app.task(name="count")
    async def count_runs() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    for concurrency in (1, 3):
        most = 0
        await count_runs.configure().batch_defer_async(*({} for _ in range(12)))
        await run_until_idle(app, concurrency=concurrency)
        assert most == concurrency


async def test_without_wait_a_worker_leaves_when_it_has_caught_up(app: forthwith.App) -> None:
    @app.task(name="chain", retry=2)
    async def chain(left: int) -> None:
        if left:
            await chain.defer_async(left=left - 1)

    await chain.defer_async(left=3)
    await run_until_idle(app)
    assert await count(app, "succeeded") == 4


@pytest.mark.parametrize("listen_notify", [True, False])
async def test_new_jobs_are_found_with_notifications_or_by_polling(
    app: forthwith.App, work: Any, wait_until: Callable[..., Any], listen_notify: bool
) -> None:
    interval = 600 if listen_notify else 0.05
    async with running_worker(
        app, listen_notify=listen_notify, fetch_job_polling_interval=interval
    ):
        await wait_until(app.job_manager.list_workers_async)
        for number in range(1, 4):
            await work.defer_async()
            await wait_until(lambda number=number: succeeded(app, number))


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("never", {"succeeded", "failed", "aborted"}),
        ("successful", {"failed", "aborted"}),
        ("always", set()),
    ],
)
async def test_finished_jobs_are_kept_as_delete_jobs_says(
    app: forthwith.App, condition: str, kept: set[str]
) -> None:
    @app.task(name="end")
    def end(how: str) -> None:
        if how == "failed":
            raise ValueError
        if how == "aborted":
            raise forthwith.errors.JobAborted

    await end.batch_defer_async({"how": "succeeded"}, {"how": "failed"}, {"how": "aborted"})
    await run_until_idle(app, delete_jobs=condition)
    assert {str(job.status) for job in await app.job_manager.list_jobs_async()} == kept


async def test_a_worker_registers_and_renews_its_lease(
    app: forthwith.App, wait_until: Callable[..., Any]
) -> None:
    async def renewed() -> bool:
        (worker,) = await app.job_manager.list_workers_async()
        return bool(worker.last_seen > worker.started_at)

    async with running_worker(app, name="ada", queues=["q"], update_heartbeat_interval=0.05):
        await wait_until(app.job_manager.list_workers_async)
        (worker,) = await app.job_manager.list_workers_async()
        assert (worker.name, worker.queues) == ("ada", ["q"])
        await wait_until(renewed)
    assert await app.job_manager.list_workers_async() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_stop_a_worker_gracefully(
    app: forthwith.App,
    make_worker_process: Callable[..., WorkerProcess],
    wait_until: Callable[..., Any],
    number: signal.Signals,
) -> None:
    process = await make_worker_process("tests.support.worker_app").wait_ready()
    job_id = await in_process(app, "sleep").defer_async(duration_s=2)
    await wait_until(lambda: has_status(app, job_id, "doing"))
    process.send(number)
    await wait_until(lambda: process.exit_status is not None)
    assert process.exit_status == 0, process.output()
    assert await status(app, job_id) == "succeeded"


async def test_without_signal_handlers_the_programs_own_stay(app: forthwith.App) -> None:
    seen = []

    @app.task(name="look")
    async def look() -> None:
        seen.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    for install in (False, True):
        await look.defer_async()
        await run_until_idle(app, install_signal_handlers=install)
    assert seen[0] is before
    assert seen[1] is not before
    assert signal.getsignal(signal.SIGTERM) is before


async def test_a_worker_can_be_stopped_from_any_thread(
    app: forthwith.App, wait_until: Callable[..., Any]
) -> None:
    worker = Worker(app, install_signal_handlers=False)
    running = asyncio.create_task(worker.run())
    await wait_until(app.job_manager.list_workers_async)
    threading.Thread(target=worker.stop).start()
    assert await running == 0


async def succeeded(app: forthwith.App, number: int) -> bool:
    return await count(app, "succeeded") == number


async def has_status(app: forthwith.App, job_id: int, expected: str) -> bool:
    return await status(app, job_id) == expected
