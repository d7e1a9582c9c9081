"""Coroutines in a context of their own, without a task of their own."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from forthwith.engine.isolation import isolated

REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("REQUEST", default="none")


async def set_and_wait(value: str) -> str:
    """Set the variable and look at it again after a while."""
    assert REQUEST.get() == "outer"
    REQUEST.set(value)
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    return REQUEST.get()


async def test_variables_do_not_leak_out_nor_from_one_to_the_next() -> None:
    REQUEST.set("outer")
    assert await isolated(set_and_wait("first")) == "first"
    assert REQUEST.get() == "outer"
    assert await isolated(set_and_wait("second")) == "second"


async def test_variables_do_not_leak_when_it_raises() -> None:
    async def fail() -> None:
        REQUEST.set("failed")
        await asyncio.sleep(0)
        raise ValueError("as it is")

    REQUEST.set("outer")
    with pytest.raises(ValueError, match="as it is"):
        await isolated(fail())
    assert REQUEST.get() == "outer"


async def test_exception_of_what_is_awaited_is_thrown_into_the_coroutine() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_exception, KeyError("inside"))

    async def handle() -> str:
        try:
            await future
        except KeyError:
            return "handled"
        return "not raised"

    assert await isolated(handle()) == "handled"


async def test_cancelling_reaches_the_coroutine_which_may_clean_up() -> None:
    seen: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            seen.append("cleaned up")

    async def run() -> None:
        await isolated(work())

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cleaned up"]


async def test_timeouts_groups_and_threads_work_inside() -> None:
    async def work() -> list[Any]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(asyncio.sleep(0, number)) for number in range(3)]
        return [*(task.result() for task in tasks), await asyncio.to_thread(lambda: "thread")]

    assert await isolated(work()) == [0, 1, 2, "thread"]


async def test_tasks_started_inside_see_its_variables() -> None:
    async def child() -> str:
        return REQUEST.get()

    async def work() -> str:
        REQUEST.set("inside")
        return await asyncio.create_task(child())

    REQUEST.set("outer")
    assert await isolated(work()) == "inside"


async def test_return_without_ever_waiting() -> None:
    async def work() -> int:
        return 5

    assert await isolated(work()) == 5


async def test_coroutine_that_raises_stop_iteration_fails_and_ends() -> None:
    async def work() -> None:
        raise StopIteration(3)

    with pytest.raises(RuntimeError):
        await isolated(work())
