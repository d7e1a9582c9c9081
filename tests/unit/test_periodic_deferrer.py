"""Ticks of periodic tasks under a wall clock that jumps."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import forthwith
from forthwith.periodic_deferrer import CLOCK_CHECK_S, PeriodicDeferrer

if TYPE_CHECKING:
    from collections.abc import Callable

NOON_S = 1_767_355_200.0  # 2 January 2026, 12:00 UTC
HOUR_S = 3600.0


@pytest.fixture
def make_deferrer() -> Callable[[str], PeriodicDeferrer]:
    """Make the deferrer of a task with this cron."""

    def make(cron: str) -> PeriodicDeferrer:
        app = forthwith.App("postgresql://nowhere/none")

        @app.periodic(cron=cron)
        @app.task(name="tick")
        async def tick(timestamp: int) -> None: ...

        return PeriodicDeferrer(registry=app.periodic_registry, max_delay=600)

    return make


def ticks(deferrer: PeriodicDeferrer, at: float) -> list[float]:
    """Return the ticks that are due at that time, in seconds from noon."""
    return [tick - NOON_S for _, tick in deferrer.get_previous_tasks(at)]


def test_ticks_come_once(make_deferrer: Callable[[str], PeriodicDeferrer]) -> None:
    deferrer = make_deferrer("* * * * *")
    assert ticks(deferrer, NOON_S + 10) == [0]
    assert ticks(deferrer, NOON_S + 50) == []
    assert ticks(deferrer, NOON_S + 130) == [60, 120]


def test_clock_that_is_set_forward_makes_up_for_a_few_ticks_only(
    make_deferrer: Callable[[str], PeriodicDeferrer],
) -> None:
    deferrer = make_deferrer("* * * * *")
    assert ticks(deferrer, NOON_S + 10) == [0]
    assert ticks(deferrer, NOON_S + HOUR_S + 10) == [
        HOUR_S - 60 * back for back in range(9, -1, -1)
    ]


def test_clock_that_is_set_back_ticks_on_from_there(
    make_deferrer: Callable[[str], PeriodicDeferrer],
) -> None:
    deferrer = make_deferrer("* * * * *")
    assert ticks(deferrer, NOON_S + HOUR_S + 10) == [HOUR_S]
    assert ticks(deferrer, NOON_S + 10) == [0]
    assert ticks(deferrer, NOON_S + 70) == [60]


async def test_jump_of_the_clock_is_noticed_before_the_next_tick(
    make_deferrer: Callable[[str], PeriodicDeferrer], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float, *_: Any) -> None:
        waited.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    deferrer = make_deferrer("0 0 1 1 *")
    await deferrer.wait(HOUR_S)
    await deferrer.wait(1.0)
    assert waited[0] < CLOCK_CHECK_S + 1
    assert 1 < waited[1] < 2
