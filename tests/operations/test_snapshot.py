"""Answers that are shared."""

from __future__ import annotations

import asyncio

import pytest

from forthwith.operations import snapshot as module
from forthwith.operations.snapshot import Answer, Snapshot


class Oracle:
    """Counts how often it is asked; answers when told."""

    def __init__(self) -> None:
        self.asked = 0
        self.heard: asyncio.Queue[int] = asyncio.Queue()
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def ask(self) -> int:
        """Answer with the number of the question."""
        self.asked += 1
        number = self.asked
        self.heard.put_nowait(number)
        await self.may_answer.wait()
        if number == 13:
            raise RuntimeError("unlucky")
        return number


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock that stands still: `clock[0]` is its time."""
    time = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: time[0])
    return time


async def test_one_answer_is_shared_until_it_is_old(clock: list[float]) -> None:
    oracle = Oracle()
    snapshot = Snapshot(oracle.ask)
    assert await snapshot.get() == 1
    clock[0] += module.AGE_MIN_S
    assert await snapshot.get() == 1
    clock[0] += 0.01
    assert await snapshot.get() == 2


async def test_one_question_at_a_time() -> None:
    oracle = Oracle()
    oracle.may_answer.clear()
    snapshot = Snapshot(oracle.ask)
    asking = [asyncio.create_task(snapshot.get()) for _ in range(5)]
    await asyncio.sleep(0)
    oracle.may_answer.set()
    assert await asyncio.gather(*asking) == [1] * 5


def test_what_took_long_is_shared_for_long() -> None:
    assert Answer("x", 0.0, took_s=0.001).good_for_s == module.AGE_MIN_S
    assert Answer("x", 0.0, took_s=3.0).good_for_s == 60.0
    assert Answer("x", 0.0, took_s=3.0).tolerable_for_s == 180.0
    assert Answer("x", 0.0, took_s=0.001).tolerable_for_s == module.AGE_MIN_S


async def test_slow_answer_is_told_while_the_next_is_on_its_way(clock: list[float]) -> None:
    oracle = Oracle()
    oracle.may_answer.clear()
    snapshot = Snapshot(oracle.ask)
    first = asyncio.create_task(snapshot.get())
    assert await oracle.heard.get() == 1
    clock[0] += 2.0  # it takes two seconds
    oracle.may_answer.set()
    assert await first == 1
    clock[0] += 50.0  # good for 40 seconds, tolerable for 120
    oracle.may_answer.clear()
    assert await snapshot.get() == 1
    assert await oracle.heard.get() == 2
    oracle.may_answer.set()
    assert snapshot._asking is not None
    await snapshot._asking
    assert await snapshot.get() == 2
    clock[0] += 1000.0
    assert await snapshot.get() == 3


async def test_forgotten_answer_is_asked_anew() -> None:
    oracle = Oracle()
    snapshot = Snapshot(oracle.ask)
    assert await snapshot.get() == 1
    snapshot.forget()
    assert await snapshot.get() == 2


async def test_answer_that_was_on_its_way_is_forgotten_too() -> None:
    oracle = Oracle()
    oracle.may_answer.clear()
    snapshot = Snapshot(oracle.ask)
    early = asyncio.create_task(snapshot.get())
    assert await oracle.heard.get() == 1
    snapshot.forget()
    late = asyncio.create_task(snapshot.get())
    assert await oracle.heard.get() == 2
    oracle.may_answer.set()
    assert [await early, await late, await snapshot.get()] == [1, 2, 2]


async def test_error_reaches_whoever_asks_and_is_not_kept() -> None:
    oracle = Oracle()
    oracle.asked = 12
    snapshot = Snapshot(oracle.ask)
    with pytest.raises(RuntimeError, match="unlucky"):
        await snapshot.get()
    assert await snapshot.get() == 14


async def test_close_ends_what_is_on_its_way() -> None:
    oracle = Oracle()
    oracle.may_answer.clear()
    snapshot = Snapshot(oracle.ask)
    asking = asyncio.create_task(snapshot.get())
    assert await oracle.heard.get() == 1
    await snapshot.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
