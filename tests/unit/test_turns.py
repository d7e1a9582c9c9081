"""Short jobs in a row, and the loop that passes between them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from forthwith.engine.buffer import Buffer
from forthwith.engine.completer import Completer
from forthwith.engine.runner import Runners
from forthwith.engine.turns import SLICE_S
from tests.unit.claimed import claimed_job
from tests.unit.test_execution import plan_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from forthwith.engine.ports import JobStore

NOTHING = cast("Any", None)
RUNNERS = 20


class Work:
    """Runners, and what they did. Outcomes gather in the completer, which nobody runs."""

    def __init__(self, task: Callable[[int], Awaitable[None]]) -> None:
        self.buffer = Buffer()
        self.completer = Completer(cast("JobStore", None), on_freed=lambda: None)
        self.runners = Runners(
            buffer=self.buffer,
            completer=self.completer,
            store=NOTHING,
            progress=NOTHING,
            plan_of=lambda _name: plan_of(task),
            concurrency=RUNNERS,
            holds_lease=lambda _worker_id: True,
        )
        self.passes = 0
        self._count = asyncio.create_task(self._count_passes())
        self.runners.start()

    async def _count_passes(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.passes += 1

    def put(self, count: int) -> None:
        """Add jobs numbered from 1."""
        jobs = [claimed_job(n, args=f'{{"number": {n}}}') for n in range(1, count + 1)]
        self.buffer.put(jobs)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait for it."""
        async with asyncio.timeout(30):
            while not is_so():  # noqa: ASYNC110 -- what happens in between is what is tested
                await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop the runners, which must not hang."""
        async with asyncio.timeout(30):
            await self.runners.finish(None)
        self._count.cancel()


@pytest.fixture
async def make_work() -> AsyncIterator[Callable[..., Work]]:
    """Make work of a task; it is stopped afterwards."""
    made: list[Work] = []

    def make(task: Callable[[int], Awaitable[None]]) -> Work:
        made.append(Work(task))
        return made[-1]

    yield make
    for each in made:
        await each.close()


def compute(for_s: float) -> None:
    """Hold the loop."""
    until_s = time.monotonic() + for_s
    while time.monotonic() < until_s:
        pass


async def test_loop_passes_between_slices_however_many_runners_there_are(
    make_work: Callable[..., Work],
) -> None:
    go = asyncio.Event()

    async def task(number: int) -> None:
        await go.wait()
        compute(SLICE_S / 4)

    work = make_work(task)
    await asyncio.sleep(0)
    work.put(200)
    await work.until(lambda: work.runners.running == RUNNERS)
    passes = work.passes
    go.set()  # all are at work at once
    await work.until(lambda: work.runners.finished == 200)
    # Four jobs fill a slice. Were each runner to go on for a slice, the loop would pass three times.
    assert work.passes - passes >= 200 / 8


async def test_one_runner_runs_short_jobs_and_the_others_rest(
    make_work: Callable[..., Work],
) -> None:
    ran_in: set[str] = set()

    async def task(number: int) -> None:
        runner = asyncio.current_task()
        assert runner is not None
        ran_in.add(runner.get_name())
        compute(SLICE_S / 4)

    work = make_work(task)
    await asyncio.sleep(0)
    work.put(200)
    await work.until(lambda: work.runners.finished == 200)
    assert len(ran_in) <= 2


async def test_jobs_that_wait_run_side_by_side(make_work: Callable[..., Work]) -> None:
    go = asyncio.Event()

    async def task(number: int) -> None:
        await go.wait()

    work = make_work(task)
    await asyncio.sleep(0)
    work.put(RUNNERS)
    passes = work.passes
    await work.until(lambda: work.runners.running == RUNNERS)
    assert work.passes - passes < 10  # no timer is involved
    go.set()
    await work.until(lambda: work.runners.finished == RUNNERS)


async def test_others_go_on_when_the_job_of_the_runner_with_the_turn_waits(
    make_work: Callable[..., Work],
) -> None:
    go = asyncio.Event()

    async def task(number: int) -> None:
        if number % 50 == 0:
            await go.wait()
        compute(SLICE_S / 10)

    work = make_work(task)
    await asyncio.sleep(0)
    work.put(200)
    await work.until(lambda: work.runners.finished == 196)
    assert work.runners.running == 4
    go.set()
    await work.until(lambda: work.runners.finished == 200)


async def test_runners_that_rest_do_not_keep_the_worker_from_its_end(
    make_work: Callable[..., Work],
) -> None:
    async def task(number: int) -> None:
        if number % 10 == 0:
            await asyncio.sleep(0)
        compute(SLICE_S / 10)

    work = make_work(task)
    await asyncio.sleep(0)
    work.put(500)
    await work.until(lambda: work.runners.finished > 20)
    await work.close()  # what is in the buffer is run: nobody took it out
    assert work.runners.finished == 500


async def test_job_that_cancels_its_runner_later_leaves_the_turn_to_others(
    make_work: Callable[..., Work], caplog: pytest.LogCaptureFixture
) -> None:
    async def task(number: int) -> None:
        compute(SLICE_S / 4)
        if number == 10:
            runner = asyncio.current_task()
            assert runner is not None
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, runner.cancel)

    work = make_work(task)
    await asyncio.sleep(0)
    work.put(200)
    await work.until(lambda: work.completer.backlog >= 199)
    await work.until(lambda: len(work.buffer) == 0)
