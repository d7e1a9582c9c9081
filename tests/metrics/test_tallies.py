"""What workers did is in the tallies by the time they have left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import forthwith
from tests.support.workers import run_until_idle

if TYPE_CHECKING:
    import psycopg

TALLIES = """
select task, outcome, sum(attempts)::integer, sum(run_s) >= 0, sum(wait_s) > 0
from forthwith.tally group by task, outcome order by task, outcome
"""


async def test_worker_that_leaves_has_added_what_it_counted(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any]
) -> None:
    @app.task(name="flaky", retry=forthwith.RetryStrategy(max_attempts=1))
    async def flaky() -> None:
        raise ValueError

    @app.task(name="send")
    async def send() -> None: ...

    @app.task(name="transact", pass_context=True)
    async def transact(context: forthwith.JobContext) -> None:
        async with context.transaction():
            pass

    await flaky.defer_async()
    await send.batch_defer_async({}, {}, {})
    await transact.defer_async()
    await run_until_idle(app, concurrency=3)
    assert await (await connection.execute(TALLIES)).fetchall() == [
        ("flaky", "failed", 1, True, True),
        ("flaky", "retried", 1, True, True),
        ("send", "succeeded", 3, True, True),
        ("transact", "succeeded", 1, True, True),
    ]
