"""One run of one job, from its arguments to its result or its exception."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

import pytest

from forthwith.context import AbortReason
from forthwith.engine.execution import Execution, TimedOut
from forthwith.engine.plan import TaskPlan
from forthwith.engine.task_threads import TaskThreads
from tests.unit.claimed import claimed_job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Executor

    from forthwith.engine.ports import JobStore

NO_STORE = cast("JobStore", None)


@pytest.fixture
def threads() -> Iterator[Executor]:
    """Threads for sync tasks."""
    with closing(TaskThreads(1)) as threads:
        yield threads


def plan_of(function: Callable[..., Any], *, is_async: bool = True, **changes: Any) -> TaskPlan:
    """Return the plan of a task."""
    options: dict[str, Any] = {
        "name": "work",
        "function": function,
        "is_async": is_async,
        "pass_context": False,
        "needs_context": False,
        "timeout_s": None,
        "once": False,
        "decide_retry": lambda _error, _job: None,
        "make_context": lambda parts: parts,
        "wrap_task": None,
        "wrap_job": None,
    }
    return TaskPlan(**{**options, **changes})


async def test_arguments_come_from_the_json_text(threads: Executor) -> None:
    async def work(number: int, text: str = "none") -> tuple[int, str]:
        return number, text

    job = claimed_job(args='{"number": 5, "text": "\\u00e4"}')
    assert await Execution(job).run(plan_of(work), NO_STORE, threads) == (5, "ä")


async def test_wrong_arguments_raise_in_the_run(threads: Executor) -> None:
    async def work(number: int) -> None: ...

    job = claimed_job(args='{"nummer": 5}')
    with pytest.raises(TypeError, match="nummer"):
        await Execution(job).run(plan_of(work), NO_STORE, threads)


async def test_async_task_that_runs_too_long_is_cancelled(threads: Executor) -> None:
    ends: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cleaned up")

    with pytest.raises(TimedOut, match=r"timeout of 0\.01 s"):
        await Execution(claimed_job()).run(plan_of(work, timeout_s=0.01), NO_STORE, threads)
    assert ends == ["cleaned up"]


async def test_timeout_that_the_task_itself_raises_is_its_own(threads: Executor) -> None:
    async def work() -> None:
        raise TimeoutError("of a network")

    with pytest.raises(TimeoutError, match="network") as caught:
        await Execution(claimed_job()).run(plan_of(work, timeout_s=60.0), NO_STORE, threads)
    assert not isinstance(caught.value, TimedOut)


async def test_sync_task_runs_in_a_thread_and_is_told_that_its_time_is_over(
    threads: Executor,
) -> None:
    def work(context: Any) -> str:
        assert threading.current_thread() is not threading.main_thread()
        while context.abort_reason() is None:
            threading.Event().wait(0.001)
        assert context.abort_reason() is AbortReason.TIMEOUT
        raise ValueError("stopped half-way")

    plan = plan_of(work, is_async=False, pass_context=True, needs_context=True, timeout_s=0.02)
    with pytest.raises(TimedOut):
        await Execution(claimed_job()).run(plan, NO_STORE, threads)


async def test_sync_task_that_returns_a_coroutine_has_it_awaited(threads: Executor) -> None:
    async def inner() -> str:
        return "awaited"

    plan = plan_of(lambda: inner(), is_async=False)
    assert await Execution(claimed_job()).run(plan, NO_STORE, threads) == "awaited"


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
async def test_whatever_a_sync_task_raises_comes_out(
    error: BaseException, threads: Executor
) -> None:
    def work() -> None:
        raise error

    plan = plan_of(work, is_async=False)
    with pytest.raises(type(error)):
        await Execution(claimed_job()).run(plan, NO_STORE, threads)


async def test_sync_task_that_raises_stop_iteration_ends(threads: Executor) -> None:
    def work() -> None:
        next(iter(()))

    plan = plan_of(work, is_async=False)
    async with asyncio.timeout(30):
        with pytest.raises(RuntimeError):
            await Execution(claimed_job()).run(plan, NO_STORE, threads)


async def test_wrappers_nest_around_the_task(threads: Executor) -> None:
    calls: list[str] = []

    async def work(context: Any) -> str:
        calls.append("task")
        return "result"

    def around(name: str) -> Any:
        def wrap(call: Callable[[], Any], context: Any) -> Callable[[], Any]:
            async def wrapped() -> Any:
                calls.append(name)
                return await call()

            return wrapped

        return wrap

    plan = plan_of(
        work,
        pass_context=True,
        needs_context=True,
        wrap_task=around("inner"),
        wrap_job=around("outer"),
    )
    assert await Execution(claimed_job()).run(plan, NO_STORE, threads) == "result"
    assert calls == ["outer", "inner", "task"]


def test_request_to_abort_comes_before_the_timeout() -> None:
    execution = Execution(claimed_job())
    assert execution.why_abort() is None
    execution.deadline = 0.0
    assert execution.why_abort() is AbortReason.TIMEOUT
    execution.abort_reason = AbortReason.SHUTDOWN
    assert execution.why_abort() is AbortReason.SHUTDOWN
