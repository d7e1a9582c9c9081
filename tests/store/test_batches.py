"""Batches: jobs that differ in their arguments alone, inserted by one function."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from forthwith.errors import AlreadyEnqueued

if TYPE_CHECKING:
    import forthwith

    Connection = psycopg.AsyncConnection[Any]

ROWS = """
select id, queue, task, priority, lock, queueing_lock, scheduled_at, crashes_max, state::text, args
from forthwith.job order by id
"""
LATER = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)
BATCH: list[dict[str, Any]] = [{"n": 1}, {"n": "é"}, {"n": {"deep": [1.5, None]}}, {}]


async def rows(connection: Connection) -> list[tuple[Any, ...]]:
    """Return all live jobs."""
    return await (await connection.execute(ROWS)).fetchall()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"queue": "mail", "priority": -7},
        {"lock": 'L"{}'},
        {"schedule_at": LATER},
        {"lock": "L", "schedule_at": LATER, "task_kwargs": {"common": True, "n": 0}},
    ],
    ids=str,
)
async def test_a_batch_is_stored_as_its_jobs_would_be_one_by_one(
    options: dict[str, Any], app: forthwith.App, connection: Connection
) -> None:
    deferrer = app.configure_task("work", **options)
    ids = await deferrer.batch_defer_async(*BATCH)
    ids += [await deferrer.defer_async(**arguments) for arguments in BATCH]
    stored = await rows(connection)
    assert [row[0] for row in stored] == ids
    half = len(BATCH)
    assert [row[1:] for row in stored[:half]] == [row[1:] for row in stored[half:]]


async def test_a_batch_rides_in_the_callers_transaction(
    app: forthwith.App, connection: Connection, database_url: str
) -> None:
    deferrer = app.configure_task("work", connection=connection)
    async with connection.transaction(force_rollback=True):
        assert len(await deferrer.batch_defer_async(*BATCH)) == len(BATCH)
    assert await rows(connection) == []
    with psycopg.connect(database_url) as blocking:
        ids = app.configure_task("work", connection=blocking).batch_defer(*BATCH)
        assert await rows(connection) == []
    assert [row[0] for row in await rows(connection)] == ids


async def test_no_job_is_made_if_a_queueing_lock_stops_one(
    app: forthwith.App, connection: Connection
) -> None:
    deferrer = app.configure_task("work", queueing_lock="Q")
    with pytest.raises(AlreadyEnqueued):
        await deferrer.batch_defer_async({"n": 1}, {"n": 2})
    assert await rows(connection) == []
    assert len(await deferrer.batch_defer_async({"n": 1})) == 1


async def test_an_empty_batch_is_nothing(app: forthwith.App, connection: Connection) -> None:
    assert await app.configure_task("work").batch_defer_async() == []
    assert await rows(connection) == []
