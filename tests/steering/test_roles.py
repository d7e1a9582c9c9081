"""Who may only work can do all that steering needs, in a schema of another name, too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import forthwith
from forthwith.store.grants import grant
from tests.support.roles import Roles, roles_of
from tests.support.workers import running_worker

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHEMA = "sonst_wo"


@pytest.fixture
def roles(empty_database_url: str) -> Iterator[Roles]:
    """Roles of the test's database."""
    yield from roles_of(empty_database_url)


async def test_working_role_pauses_keeps_results_and_shows_progress(
    empty_database_url: str, roles: Roles, wait_until: Any
) -> None:
    await forthwith.App(empty_database_url, schema=SCHEMA).migrate_async()
    role = roles.create("work")
    app = forthwith.App(roles.url(role), schema=SCHEMA)
    go_on = asyncio.Event()

    @app.periodic(cron="0 0 1 1 *")
    @app.task(name="yearly")
    async def yearly(timestamp: int) -> None: ...

    @app.task(name="work", queue="mail", keep_result=True, pass_context=True)
    async def work(context: forthwith.JobContext) -> int:
        context.progress(1, 2)
        await go_on.wait()
        return 42

    async with await psycopg.AsyncConnection.connect(empty_database_url, autocommit=True) as owner:
        await grant(owner, [("work", role)], SCHEMA)

        async def has_progress() -> bool:
            return (await owner.execute(f"select from {SCHEMA}.progress")).rowcount == 1

        async def has_none() -> bool:
            return not await has_progress()

        async with app.open_async():
            assert await app.pause_queue_async("mail")
            assert await app.pause_periodic_async(yearly)
            assert await app.resume_periodic_async(yearly)
            job_id = await work.defer_async()
            async with running_worker(app, fetch_job_polling_interval=600.0):
                waiting = asyncio.create_task(app.result(job_id, timeout=60))
                assert await app.resume_queue_async("mail")
                await wait_until(has_progress)
                go_on.set()
                assert await waiting == 42
                await wait_until(has_none)
