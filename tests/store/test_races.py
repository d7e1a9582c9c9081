"""Races between statements, each forced: two connections, one held between its look and its commit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.store.virtual_worker import cancel, defer, new_job, run, states

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    from tests.store.virtual_worker import VirtualWorker


async def is_waiting(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether some backend of this database waits for a lock."""
    cursor = await connection.execute(
        "select from pg_stat_activity"
        " where datname = current_database() and wait_event_type = 'Lock'"
    )
    return cursor.rowcount > 0


async def test_line_advances_though_its_best_job_is_cancelled_while_the_head_completes(
    worker: VirtualWorker,
    connection: psycopg.AsyncConnection[Any],
    other_connection: psycopg.AsyncConnection[Any],
    wait_until: Callable[..., Any],
) -> None:
    _, second, third = await defer(connection, *(new_job(lock="L") for _ in range(3)))
    [head] = await worker.claim()

    async with other_connection.transaction():
        assert await cancel(other_connection, second)
        completing = asyncio.create_task(worker.succeed(head))
        await wait_until(lambda: is_waiting(connection))  # for the cancelled row

    assert await completing == {head.id}
    assert await states(connection) == {third: "ready"}


async def test_cancelling_a_job_of_a_free_lock_does_not_break_a_concurrent_sort(
    worker: VirtualWorker,
    connection: psycopg.AsyncConnection[Any],
    other_connection: psycopg.AsyncConnection[Any],
) -> None:
    first, second = await defer(connection, new_job(lock="L"), new_job(lock="L"))
    async with other_connection.transaction():
        assert await cancel(other_connection, first)
        [better] = await defer(connection, new_job(lock="L", priority=5))
        looking = asyncio.create_task(worker.look())
        await asyncio.wait({looking}, timeout=0.5)  # it may wait for the cancelling, or pass it by
    await looking
    await worker.look()
    assert await states(connection) == {second: "blocked", better: "ready"}


async def test_refused_completion_leaves_a_line_that_others_have_taken_over_alone(
    make_worker: Callable[..., Awaitable[VirtualWorker]],
    worker: VirtualWorker,
    connection: psycopg.AsyncConnection[Any],
    other_connection: psycopg.AsyncConnection[Any],
) -> None:
    await defer(connection, new_job(lock="L"))
    [stale] = await worker.claim()
    await worker.release(stale)
    other = await make_worker()
    assert await other.succeed(*await other.claim())
    first, second = await defer(connection, new_job(lock="L"), new_job(lock="L", priority=5))

    async with other_connection.transaction():
        await run(other_connection, "sort_lines", batch_size=10)
        refused = asyncio.create_task(worker.succeed(stale))
        done, _ = await asyncio.wait({refused}, timeout=0.5)
    assert await refused == set()
    assert done, "a refused completion waited for a line that it has no part in"
    assert await states(connection) == {first: "blocked", second: "ready"}


async def test_defers_of_the_same_queueing_locks_in_opposite_order_do_not_deadlock(
    connection: psycopg.AsyncConnection[Any], other_connection: psycopg.AsyncConnection[Any]
) -> None:
    keys = [f"key-{number}" for number in range(500)]
    for _ in range(20):
        one, other = await asyncio.gather(
            defer(connection, *(new_job(queueing_lock=key) for key in keys)),
            defer(other_connection, *(new_job(queueing_lock=key) for key in reversed(keys))),
        )
        assert len(one) + len(other) == len(keys)
        await connection.execute("truncate forthwith.job, forthwith.queueing_lock")


async def test_partition_is_made_while_a_completion_goes_to_the_default_partition(
    worker: VirtualWorker,
    connection: psycopg.AsyncConnection[Any],
    other_connection: psycopg.AsyncConnection[Any],
    wait_until: Callable[..., Any],
) -> None:
    cursor = await connection.execute(
        "select format('finished_job_%s', to_char(now() at time zone 'utc', 'YYYYMMDD'))"
    )
    [(today,)] = await cursor.fetchall()
    await connection.execute(f"drop table forthwith.{today}")
    [job_id] = await defer(connection, new_job())
    [job] = await worker.claim()

    async with other_connection.transaction():
        await run(
            other_connection,
            "complete",
            ids=[job.id],
            lease_tokens=[job.lease_token],
            status="succeeded",
            keep=True,
            spent=1,
        )
        keeping = asyncio.create_task(
            run(connection, "keep_partitions", days_ahead=1, retention_s=None)
        )
        async with worker.store._upkeep.use() as watching:
            await wait_until(lambda: is_waiting(watching))
    await keeping
    cursor = await connection.execute(
        "select id, (select relname from pg_class where oid = history.tableoid)"
        " from forthwith.finished_job history"
    )
    assert await cursor.fetchall() == [(job_id, today)]
