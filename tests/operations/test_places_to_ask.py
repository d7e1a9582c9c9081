"""A desk in another schema, with another role, without a schema."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import forthwith
from forthwith.errors import NotPermitted, SchemaMissing
from forthwith.operations import Desk, JobFilter
from tests.support.roles import roles_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.roles import Roles

LATER = datetime.datetime(2100, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def roles(database_url: str) -> Iterator[Roles]:
    """Roles of the test's database."""
    yield from roles_of(database_url)


async def use_all_of(desk: Desk, app: forthwith.App) -> None:
    """Ask everything and do everything."""
    task = app.configure_task("work", lock="L")
    ids = [await task.defer_async(n=n) for n in range(6)]
    assert [job.id for job in (await desk.jobs()).jobs] == ids[::-1]
    for wanted in (
        *(JobFilter(status=status) for status in ("todo", "running", "succeeded", "failed")),
        *(JobFilter(queue="default"), JobFilter(lock="L"), JobFilter(worker_id=1)),
        *(JobFilter(text="n"), JobFilter(error="X"), JobFilter(deferred_before=LATER)),
    ):
        await desk.jobs(wanted)
    assert [queue.name for queue in (await desk.overview()).queues] == ["default"]
    assert await desk.job(ids[0]) is not None
    assert [lock.lock for lock in await desk.locks()] == ["L"]
    assert await desk.periodic() == []
    assert await desk.error_groups(7200) == []
    assert (await desk.preview("cancel", JobFilter())).count == 6
    assert (await desk.cancel(ids[:2])).done == 2
    assert (await desk.retry(ids[:1])).done == 1
    assert (await desk.abort(ids[:1])).done == 0
    assert (await desk.reschedule(ids[2:4], LATER)).done == 2
    assert (await desk.delete(ids[1:3])).done == 2
    assert await desk.pause_queue("default")
    assert await desk.resume_queue("default")
    assert (await desk.apply("delete", JobFilter(), expected_max=100)).done == 4
    assert (await desk.jobs()).jobs == []


async def test_another_schema(empty_database_url: str) -> None:
    app = forthwith.App(empty_database_url, schema="jobs_b")
    async with app.open_async(), Desk(app) as desk:
        await app.migrate_async()
        await use_all_of(desk, app)
        assert "partitions-missing" not in {finding.code for finding in await desk.findings()}


async def test_role_that_may_work(roles: Roles) -> None:
    app = forthwith.App(roles.url(await roles.create_granted("work")))
    async with app.open_async(), Desk(app) as desk:
        await use_all_of(desk, app)


async def test_role_that_may_only_defer(roles: Roles) -> None:
    app = forthwith.App(roles.url(await roles.create_granted("defer")))
    async with app.open_async(), Desk(app) as desk:
        for ask in (desk.queues, desk.jobs, desk.findings):
            with pytest.raises(NotPermitted):
                await ask()


async def test_database_without_the_schema(empty_database_url: str) -> None:
    app = forthwith.App(empty_database_url)
    async with app.open_async(), Desk(app) as desk:
        with pytest.raises(SchemaMissing):
            await desk.overview()


async def test_search_path_full_of_look_alikes_misleads_nobody(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any]
) -> None:
    name = connection.info.dbname
    await connection.execute(
        "create schema trap; create function trap.lower(text) returns text language sql as $$ select 'x' $$"
    )
    await connection.execute(
        psycopg.sql.SQL("alter database {} set search_path = trap, pg_catalog").format(
            psycopg.sql.Identifier(name)
        )
    )
    async with Desk(app) as other:
        job_id = await app.configure_task("work").defer_async(text="Findable")
        assert [job.id for job in (await other.jobs(JobFilter(text="FIND"))).jobs] == [job_id]
