"""Threads for sync tasks: every call is made once, as many at a time as may be, and told of."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.engine.task_threads import TaskThreads
from tests.support.waiting import wait_until, wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 8
DEADLINE_S = 30.0


@pytest.fixture
def threads() -> Iterator[TaskThreads]:
    """Eight threads at the most."""
    with closing(TaskThreads(SIZE)) as threads:
        yield threads


async def test_results_and_errors_come_back(threads: TaskThreads) -> None:
    def fail() -> None:
        raise KeyError("gone")

    def generator_exit() -> None:
        raise GeneratorExit

    value = object()
    assert await threads.run(lambda: value) is value
    with pytest.raises(KeyError, match="gone"):
        await threads.run(fail)
    with pytest.raises(GeneratorExit):  # a thread outlives all there is
        await threads.run(generator_exit)
    assert await threads.run(lambda: 1) == 1


async def test_calls_that_wait_run_at_the_same_time(threads: TaskThreads) -> None:
    for _ in range(3):  # the first time the threads are started, then they are called
        together = threading.Barrier(SIZE, timeout=DEADLINE_S)
        await asyncio.gather(*[threads.run(together.wait) for _ in range(SIZE)])


async def test_there_are_no_more_threads_than_may_be(threads: TaskThreads) -> None:
    running, most = 0, 0
    lock = threading.Lock()

    def work() -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with lock:
            running -= 1
        return threading.get_ident()

    used = await asyncio.gather(*[threads.run(work) for _ in range(10 * SIZE)])
    assert most <= SIZE
    assert len(set(used)) <= SIZE


async def test_many_calls_of_all_lengths_are_each_made_once(threads: TaskThreads) -> None:
    made: list[int] = []

    def work(number: int) -> int:
        if number % 7 == 0:
            time.sleep(0.0005)
        made.append(number)
        return number

    async def caller(first: int) -> None:
        for number in range(first, first + 100):
            assert await threads.run(partial(work, number)) == number

    await asyncio.gather(*[caller(first) for first in range(0, 2000, 100)])
    assert sorted(made) == list(range(2000))


async def test_a_call_that_computes_is_followed_by_others_in_its_thread() -> None:
    """While nobody lets go of the interpreter there is nothing to gain by another thread."""
    together = threading.Barrier(100, timeout=DEADLINE_S)
    with closing(TaskThreads(100)) as threads:
        await asyncio.gather(*[threads.run(together.wait) for _ in range(100)])
        used = await asyncio.gather(*[threads.run(threading.get_ident) for _ in range(100)])
    assert len(set(used)) < 50


@pytest.mark.parametrize("size", [1, SIZE])
async def test_the_loop_is_woken_once_for_all_that_have_ended(
    size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, woken = asyncio.get_running_loop(), 0
    wake = loop.call_soon_threadsafe

    def count(*args: Any, **options: Any) -> asyncio.Handle:
        nonlocal woken
        woken += 1
        return wake(*args, **options)

    with closing(TaskThreads(size)) as threads:
        calls = [asyncio.ensure_future(threads.run(lambda: None)) for _ in range(50)]
        monkeypatch.setattr(loop, "call_soon_threadsafe", count)
        await asyncio.sleep(0)  # they are handed over
        wait_until_sync(lambda: len(threads._ended) == 50)  # and the loop does not pass meanwhile
        await asyncio.gather(*calls)
    assert 1 <= woken <= size  # threads that end at the same moment may each wake it


async def test_a_call_is_left_out_whose_caller_has_gone() -> None:
    begun, hold, ran = threading.Event(), threading.Event(), []

    def block() -> None:
        begun.set()
        hold.wait(DEADLINE_S)

    with closing(TaskThreads(1)) as threads:
        first = asyncio.create_task(threads.run(block))
        await wait_until(begun.is_set)
        second = asyncio.create_task(threads.run(lambda: ran.append(2)))
        await asyncio.sleep(0)
        second.cancel()
        with pytest.raises(asyncio.CancelledError):
            await second
        hold.set()
        await first
        await threads.run(lambda: ran.append(3))
    assert ran == [3]


async def test_closing_leaves_out_what_has_not_begun_and_ends_the_threads() -> None:
    begun, hold = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        hold.wait(DEADLINE_S)

    before = set(threading.enumerate())
    threads = TaskThreads(1)
    first = asyncio.create_task(threads.run(block))
    await wait_until(begun.is_set)
    second = asyncio.create_task(threads.run(lambda: None))
    await asyncio.sleep(0)
    threads.close()
    with pytest.raises(asyncio.CancelledError):
        await second
    hold.set()
    await first
    await wait_until(lambda: set(threading.enumerate()) <= before)


def test_a_call_may_outlive_its_loop() -> None:
    begun, hold = threading.Event(), threading.Event()

    def block() -> None:
        begun.set()
        hold.wait(DEADLINE_S)

    async def begin() -> None:
        calls = asyncio.create_task(threads.run(block))
        await wait_until(begun.is_set)
        calls.cancel()

    before = set(threading.enumerate())
    threads = TaskThreads(1)
    asyncio.run(begin())
    threads.close()
    hold.set()
    wait_until_sync(lambda: set(threading.enumerate()) <= before)


async def test_fewer_threads_than_may_be_do_it_all(
    threads: TaskThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_more(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    await threads.run(lambda: None)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_more)
        await asyncio.gather(*[threads.run(lambda: time.sleep(0.001)) for _ in range(20)])
        with closing(TaskThreads(1)) as others, pytest.raises(RuntimeError, match="no thread"):
            await others.run(lambda: None)
    together = threading.Barrier(SIZE, timeout=DEADLINE_S)
    await asyncio.gather(*[threads.run(together.wait) for _ in range(SIZE)])


async def test_no_call_is_overlooked_by_a_thread_that_goes_to_rest() -> None:
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change places at every chance
    try:
        with closing(TaskThreads(1)) as threads:
            async with asyncio.timeout(4 * DEADLINE_S):
                for number in range(5_000):
                    assert await threads.run(lambda: 1) == 1, number
    finally:
        sys.setswitchinterval(interval_s)
