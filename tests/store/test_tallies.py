"""What all workers have counted adds up in the tallies, whoever adds at the same time."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from forthwith.engine.meter import Counts, Key
from forthwith.histogram import BOUNDS_S, bucket
from tests.store.virtual_worker import VirtualWorker, defer, new_job, rescue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    Connection = psycopg.AsyncConnection[Any]
    MakeWorker = Callable[..., Awaitable[VirtualWorker]]

# The minute may change in the middle of a test.
SUMS = """
select queue, task, outcome, sum(attempts)::integer, sum(run_s), sum(wait_s), array_agg(run_counts),
    array_agg(wait_counts)
from forthwith.tally group by queue, task, outcome order by queue, task, outcome
"""


def counts(*keys: Key, run_s: float = 0.02, wait_s: float = 2.0) -> Counts:
    """One attempt for each of these."""
    found = Counts()
    for key in keys:
        ended = found.at(key)
        ended.attempts += 1
        ended.run_s.observe(run_s)
        ended.wait_s.observe(wait_s)
    return found


async def tallies(connection: Connection) -> list[tuple[Any, ...]]:
    return await (await connection.execute(SUMS)).fetchall()


async def test_counts_are_added_to_what_is_there(
    worker: VirtualWorker, connection: Connection
) -> None:
    key = Key("mail", "send", "succeeded")
    await worker.store.tallies.add_tallies(counts(key))
    await worker.store.tallies.add_tallies(counts(key, Key("mail", "send", "failed"), run_s=7.0))
    failed, succeeded = await tallies(connection)
    assert failed[:6] == ("mail", "send", "failed", 1, 7.0, 2.0)
    assert succeeded[:6] == ("mail", "send", "succeeded", 2, 7.02, 4.0)
    runs = [sum(column) for column in zip(*succeeded[6], strict=True)]
    waits = [sum(column) for column in zip(*succeeded[7], strict=True)]
    assert len(runs) == len(waits) == len(BOUNDS_S)
    assert (runs[bucket(0.02)], runs[bucket(7.0)], sum(runs)) == (1, 1, 2)
    assert (waits[bucket(2.0)], sum(waits)) == (2, 2)


async def test_names_with_quotes_are_kept(worker: VirtualWorker, connection: Connection) -> None:
    key = Key('a "b" \\c, {d}', "'; drop table tally", "succeeded")
    await worker.store.tallies.add_tallies(counts(key))
    [row] = await tallies(connection)
    assert row[:3] == key


async def test_workers_that_add_at_once_do_not_deadlock(
    make_worker: MakeWorker, connection: Connection
) -> None:
    keys = [Key(f"queue {number}", "task", "succeeded") for number in range(50)]
    workers = [await make_worker() for _ in range(3)]

    async def add(worker: VirtualWorker, seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(10):
            await worker.store.tallies.add_tallies(counts(*chance.sample(keys, len(keys))))

    await asyncio.gather(*(add(worker, seed) for seed, worker in enumerate(workers)))
    assert [row[3] for row in await tallies(connection)] == [30] * len(keys)


async def test_claim_tells_how_long_a_job_has_waited(
    worker: VirtualWorker, connection: Connection
) -> None:
    [waited, due] = await defer(connection, new_job(), new_job())
    await connection.execute(
        "update forthwith.job set deferred_at = deferred_at - interval '1 hour'"
    )
    await connection.execute(
        "update forthwith.job set scheduled_at = clock_timestamp() - interval '1 minute'"
        " where id = %s",
        [due],
    )
    waits_s = {job.id: job.wait_s for job in await worker.claim()}
    assert 3600 <= (waits_s[waited] or 0) < 3660
    assert 60 <= (waits_s[due] or 0) < 120


async def test_large_claim_tells_it_of_a_few(worker: VirtualWorker, connection: Connection) -> None:
    await defer(connection, *[new_job()] * 400)
    jobs = await worker.claim(size=400)
    assert len(jobs) == 400
    assert sum(job.wait_s is not None for job in jobs) == 20


async def test_rescuer_is_told_the_queue_whatever_became_of_the_job(
    worker: VirtualWorker, make_worker: MakeWorker, connection: Connection
) -> None:
    await defer(connection, new_job(queue="mail"), new_job(queue="other", crashes_max=1))
    [started] = [job for job in await worker.claim() if job.crashes_max == 1]
    await worker.store.mark_started(started)
    await worker.die()
    assert {(job.queue, job.fate) for job in await rescue(connection)} == {
        ("mail", "rescued"),
        ("other", "failed"),
    }
