"""Short jobs in a row, and the loop that passes between them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from forthwith.engine.turns import SLICE_S
from tests.unit.runners import RUNNERS

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.unit.runners import Work


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
    # Both at once: the loop may pass between the 196th end and the beginning of the last job.
    await work.until(lambda: (work.runners.finished, work.runners.running) == (196, 4))
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
