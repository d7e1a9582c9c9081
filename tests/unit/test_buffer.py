"""The buffer of claimed jobs."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from forthwith.engine.buffer import Buffer
from tests.unit.claimed import claimed_job


def taken(buffer: Buffer) -> list[int]:
    """Return the ids in the order in which they come out."""
    return [job.id for job in buffer.drain()]


@given(st.lists(st.lists(st.integers(-3, 3), max_size=8), max_size=5))
def test_best_comes_out_first_and_within_a_priority_first_in_first_out(
    batches: list[list[int]],
) -> None:
    buffer = Buffer()
    jobs = [
        claimed_job(number, priority=priority)
        for number, priority in enumerate(p for batch in batches for p in batch)
    ]
    position = 0
    for batch in batches:
        buffer.put(jobs[position : position + len(batch)])
        position += len(batch)
    assert len(buffer) == len(jobs)
    assert sorted(buffer.ids()) == [job.id for job in jobs]
    assert taken(buffer) == [
        job.id for job in sorted(jobs, key=lambda job: (-job.priority, job.id))
    ]
    assert len(buffer) == 0


def test_better_job_that_comes_later_overtakes() -> None:
    buffer = Buffer()
    buffer.put([claimed_job(1), claimed_job(2)])
    assert (job := buffer.take_nowait()) is not None
    assert job.id == 1
    buffer.put([claimed_job(3, priority=1)])
    assert taken(buffer) == [3, 2]


def test_many_priorities_keep_no_empty_lines() -> None:
    buffer = Buffer()
    for number in range(1000):
        buffer.put([claimed_job(number, priority=number)])
        assert buffer.take_nowait() is not None
    assert len(buffer._by_priority) <= 101
    assert buffer.take_nowait() is None


async def test_as_many_runners_wake_as_there_are_jobs_for() -> None:
    buffer = Buffer()
    runners = [asyncio.create_task(buffer.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    assert buffer.idle == 3
    buffer.put([claimed_job(1), claimed_job(2)])
    await asyncio.sleep(0)
    assert [runner.done() for runner in runners] == [True, False, False]
    assert buffer.take_nowait() is not None  # it has one that waits for something
    buffer.put([claimed_job(3)])
    for _ in range(2):
        await asyncio.sleep(0)
    assert [runner.done() for runner in runners] == [True, True, True]


async def test_others_rest_while_one_runner_takes_one_job_after_the_other() -> None:
    buffer = Buffer()
    runners = [asyncio.create_task(buffer.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    buffer.put([claimed_job(number) for number in range(3)])
    buffer.is_served = True
    for _ in range(5):
        await asyncio.sleep(0)
    assert [runner.done() for runner in runners] == [True, False, False]
    buffer.is_served = False  # its job waits
    for _ in range(3):
        await asyncio.sleep(0)
    assert [runner.done() for runner in runners] == [True, True, True]


async def test_who_rests_beside_jobs_is_called_again() -> None:
    buffer = Buffer()
    buffer.put([claimed_job(1)])
    async with asyncio.timeout(15):
        await buffer.wait()
    assert not buffer.room.is_set()  # there is enough to do


async def test_nobody_waits_at_a_closed_buffer() -> None:
    buffer = Buffer()
    runner = asyncio.create_task(buffer.wait())
    await asyncio.sleep(0)
    buffer.close()
    async with asyncio.timeout(15):
        await runner
        await buffer.wait()


async def test_runner_that_stops_waiting_takes_no_wake_up_with_it() -> None:
    buffer = Buffer()
    leaving, staying = (asyncio.create_task(buffer.wait()) for _ in range(2))
    await asyncio.sleep(0)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert buffer.idle == 1
    buffer.put([claimed_job(1)])
    await staying


async def test_room_is_set_when_the_depth_has_fallen_to_the_mark() -> None:
    buffer = Buffer()
    buffer.put(claimed_job(number) for number in range(4))
    buffer.want_room(2)
    buffer.take_nowait()
    assert not buffer.room.is_set()
    buffer.take_nowait()
    assert buffer.room.is_set()


async def test_idle_runner_wants_room() -> None:
    buffer = Buffer()
    buffer.want_room(0)
    runner = asyncio.create_task(buffer.wait())
    await asyncio.sleep(0)
    assert buffer.room.is_set()
    buffer.close()
    await runner
