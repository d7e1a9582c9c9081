"""What a desk tells of queues, workers, tasks, locks, errors and history."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

    from forthwith.operations import Desk

    Connection = psycopg.AsyncConnection[Any]


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
