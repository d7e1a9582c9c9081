"""The pruner forgets what is over, in batches, and keeps the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forthwith.engine import pruner
from tests.support.workers import running_worker

if TYPE_CHECKING:
    import psycopg
    import pytest

    import forthwith

OLD = """
insert into forthwith.result (job_id, expires_at, value)
    select number, now() - interval '1 s', '1' from generate_series(1, 25) number;
insert into forthwith.progress (job_id, done)
    select number, 1 from generate_series(1, 25) number;
insert into forthwith.tally
    (minute, queue, task, outcome, attempts, run_s, run_counts, wait_s, wait_counts)
    select now() - interval '8 days' - number * interval '1 minute', 'q', 't', 'failed', 1, 1, '{}', 1, '{}'
    from generate_series(1, 25) number;
insert into forthwith.job_trace (job_id, at, traceparent)
    select number, now() - interval '8 days', 'x' from generate_series(1, 25) number;
"""
NEW = """
insert into forthwith.result values (1001, now() + interval '1 hour', '1');
insert into forthwith.tally
    (minute, queue, task, outcome, attempts, run_s, run_counts, wait_s, wait_counts)
    values (now() - interval '7 days', 'q', 't', 'failed', 1, 1, '{}', 1, '{}');
insert into forthwith.job_trace (job_id, at, traceparent) values (1001, now() - interval '6 days', 'x');
"""
LEFT = """
select (select array_agg(job_id) from forthwith.result),
    (select count(*) from forthwith.progress),
    (select count(*) from forthwith.tally where queue = 'q'),
    (select array_agg(job_id) from forthwith.job_trace)
"""


async def test_worker_forgets_what_is_over(
    app: forthwith.App,
    connection: psycopg.AsyncConnection[Any],
    monkeypatch: pytest.MonkeyPatch,
    wait_until: Any,
) -> None:
    monkeypatch.setattr(pruner, "FIRST_S", 0.0)
    monkeypatch.setattr(pruner, "REST_S", 0.0)
    monkeypatch.setattr(pruner, "BATCH_SIZE", 10)
    await connection.execute(OLD)
    await connection.execute(NEW)

    async def the_rest_is_left() -> bool:
        [left] = await (await connection.execute(LEFT)).fetchall()
        return left == ([1001], 0, 1, [1001])

    async with running_worker(app):
        await wait_until(the_rest_is_left)
