"""Middleware around tasks and around everything that a worker runs."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.errors import MiddlewareKindMismatch
from tests.support.workers import count, run_until_idle, status

if TYPE_CHECKING:
    import forthwith


def tracing(trace: list[str], name: str) -> tuple[Any, Any]:
    """Return a sync and an async middleware that note when they start and end."""

    def blocking(call_next: Any, context: Any, worker: Any) -> Any:
        trace.append(f"{name} before {context.job.task_name}")
        result = call_next()
        trace.append(f"{name} after {context.job.task_name}")
        return result

    async def asynchronous(call_next: Any, context: Any, worker: Any) -> Any:
        trace.append(f"{name} before {context.job.task_name}")
        result = await call_next()
        trace.append(f"{name} after {context.job.task_name}")
        return result

    return blocking, asynchronous


async def test_middleware_nests_from_the_worker_inwards(app: forthwith.App) -> None:
    trace: list[str] = []
    own_sync, own_async = tracing(trace, "own")
    wide_sync, wide_async = tracing(trace, "wide")
    around = tracing(trace, "worker")[1]

    @app.task(name="s", task_middleware=[own_sync])
    def blocking() -> None:
        trace.append("run s")

    @app.task(name="a", task_middleware=[own_async])
    async def asynchronous() -> None:
        trace.append("run a")

    await blocking.defer_async()
    await asynchronous.defer_async()
    await run_until_idle(app, task_middleware=[wide_sync, wide_async], worker_middleware=[around])
    layers = ("worker", "wide", "own")
    assert trace == [
        step
        for task in ("s", "a")
        for step in (
            *(f"{layer} before {task}" for layer in layers),
            f"run {task}",
            *(f"{layer} after {task}" for layer in reversed(layers)),
        )
    ]


async def test_sync_middleware_runs_in_the_tasks_thread_and_workers_on_the_loop(
    app: forthwith.App,
) -> None:
    threads: dict[str, int] = {}

    def own(call_next: Any, context: Any, worker: Any) -> Any:
        threads["own"] = threading.get_ident()
        return call_next()

    async def around(call_next: Any, context: Any, worker: Any) -> Any:
        threads["around"] = threading.get_ident()
        return await call_next()

    @app.task(name="task", task_middleware=[own])
    def task() -> None:
        threads["task"] = threading.get_ident()

    await task.defer_async()
    await run_until_idle(app, worker_middleware=[around])
    assert threads["around"] == threading.get_ident()
    assert threads["own"] == threads["task"] != threading.get_ident()


async def test_middleware_sees_the_result_and_the_exception(app: forthwith.App) -> None:
    seen: list[Any] = []

    async def watch(call_next: Any, context: Any, worker: Any) -> Any:
        try:
            seen.append(await call_next())
        except ValueError as error:
            seen.append(str(error))
            raise

    @app.task(name="answer")
    def answer(well: bool) -> int:
        if not well:
            raise ValueError("unwell")
        return 42

    ids = await answer.batch_defer_async({"well": True}, {"well": False})
    await run_until_idle(app, worker_middleware=[watch])
    assert seen == [42, "unwell"]
    assert [await status(app, job_id) for job_id in ids] == ["succeeded", "failed"]


async def test_middleware_may_fail_a_job_or_rescue_it(app: forthwith.App) -> None:
    async def turn_around(call_next: Any, context: Any, worker: Any) -> Any:
        try:
            await call_next()
        except ValueError:
            return
        raise RuntimeError("too good")

    @app.task(name="answer", retry=1, task_middleware=[turn_around])
    async def answer(well: bool) -> None:
        if not well:
            raise ValueError

    ids = await answer.batch_defer_async({"well": True}, {"well": False})
    await run_until_idle(app)
    assert [await status(app, job_id) for job_id in ids] == ["failed", "succeeded"]
    attempts = await app.job_manager.list_attempts_async(ids[0])
    assert [attempt.exception_type for attempt in attempts] == ["RuntimeError"] * 2


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_middleware_may_stop_the_worker(app: forthwith.App, kind: str) -> None:
    def blocking(call_next: Any, context: Any, worker: Any) -> Any:
        worker.stop()
        return call_next()

    async def asynchronous(call_next: Any, context: Any, worker: Any) -> Any:
        assert worker.worker_id == context.job.worker_id
        worker.stop()
        return await call_next()

    @app.task(name="task")
    def task() -> None: ...

    await task.configure().batch_defer_async(*({} for _ in range(50)))
    options: dict[str, Any] = (
        {"task_middleware": [blocking]} if kind == "sync" else {"worker_middleware": [asynchronous]}
    )
    await run_until_idle(app, wait=True, **options)
    assert 1 <= await count(app, "succeeded") < 50
    assert await count(app, "doing") == 0


async def test_middleware_of_the_wrong_kind_is_refused_or_left_out(app: forthwith.App) -> None:
    def blocking(call_next: Any, context: Any, worker: Any) -> Any:
        raise AssertionError("not around an async task")

    async def asynchronous(call_next: Any, context: Any, worker: Any) -> Any:
        return await call_next()

    with pytest.raises(MiddlewareKindMismatch):
        app.task(name="a", task_middleware=[asynchronous])(lambda: None)
    with pytest.raises(MiddlewareKindMismatch):
        await app.run_worker_async(worker_middleware=[blocking])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        await app.run_worker_async(task_middleware=["no callable"])  # type: ignore[list-item]

    @app.task(name="b", task_middleware=[functools.partial(asynchronous)])
    async def task() -> None: ...

    job_id = await task.defer_async()
    await run_until_idle(app, task_middleware=[blocking])
    assert await status(app, job_id) == "succeeded"
