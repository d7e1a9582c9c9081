"""What a desk tells of queues, workers, tasks, locks, errors and history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forthwith.operations import Desk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import psycopg

    import forthwith

    Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def desk(app: forthwith.App) -> AsyncIterator[Desk]:
    """A desk at the test's database."""
    async with Desk(app) as desk:
        yield desk


async def test_empty(desk: Desk) -> None:
    assert await desk.queues() == []
    assert await desk.workers() == []
    assert await desk.tasks()
    assert await desk.locks() == []
    assert await desk.periodic() == []
    assert await desk.error_groups() == []
    assert len(await desk.history()) in (60, 61)
    page = await desk.jobs()
    assert page.jobs == []
    assert page.is_complete
    assert await desk.job(1) is None
