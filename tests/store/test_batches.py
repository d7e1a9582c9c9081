"""Batches: jobs that differ in their arguments alone, inserted by one function."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from forthwith.arguments import ARRAY_CHARACTERS_MAX
from forthwith.errors import AlreadyEnqueued
from forthwith.job import NewJob, Trace
from forthwith.store.deferring import as_array

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
    other = app.configure_task("other").make_new_job()  # so that they are no batch of their kind
    mixed = [*(deferrer.make_new_job(**arguments) for arguments in BATCH), other]
    ids += [job.id for job in await app.job_manager.batch_defer_jobs_async(mixed)]
    stored = await rows(connection)
    assert [row[0] for row in stored] == ids
    size = len(BATCH)
    batch, singles, others = (
        [row[1:] for row in stored[first : first + size]] for first in (0, size, 2 * size)
    )
    assert batch == singles == others


def test_jobs_that_differ_in_their_arguments_alone_are_one_array() -> None:
    job = NewJob("mail", "send", 0, '{"to": "a"}', None, None, None, 3)
    assert as_array([job]) == '[{"to": "a"}]'
    assert as_array([job, job._replace(args="{}")]) == '[{"to": "a"},{}]'


@pytest.mark.parametrize(
    "difference",
    [
        {"queue": "other"},
        {"task": "other"},
        {"priority": 1},
        {"lock": "L"},
        {"queueing_lock": "Q"},
        {"scheduled_at": LATER},
        {"crashes_max": 1},
        {"trace": Trace("00-1-2-01", None)},
        {"args": " " * ARRAY_CHARACTERS_MAX},  # too large for one value
    ],
    ids=lambda difference: next(iter(difference)),
)
def test_other_jobs_are_not(difference: dict[str, Any]) -> None:
    job = NewJob("mail", "send", 0, "{}", None, None, None, 3)
    assert as_array([job, job._replace(**difference)]) is None


def test_jobs_with_queueing_locks_are_inserted_one_by_one() -> None:
    job = NewJob("mail", "send", 0, "{}", None, "Q", None, 3)
    assert as_array([job, job]) is None


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
