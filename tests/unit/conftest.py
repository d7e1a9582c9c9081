"""Runners for tests without a database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.runners import Work

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable


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
