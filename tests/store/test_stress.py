"""Everything at once, on real connections: the end state is what counts."""

from __future__ import annotations

import asyncio
import datetime
import random
from typing import TYPE_CHECKING, Any

from forthwith.outcome import Failed, Released, Retry, Succeeded
from tests.store.virtual_worker import FAILURE, VirtualWorker, cancel, defer, new_job, rescue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    from forthwith.job import ClaimedJob
    from forthwith.outcome import Outcome

    MakeWorker = Callable[..., Awaitable[VirtualWorker]]

JOBS = 1000
LOCKS = [None, "A", "B", "C", "D", "E"]


class Ledger:
    """Who runs what now, and what has ended; all workers share it."""

    def __init__(self) -> None:
        self.running: dict[str, int] = {}
        self.ended: set[int] = set()

    def start(self, job: ClaimedJob) -> None:
        """A job was claimed."""
        assert job.id not in self.ended
        if job.lock is not None:
            assert job.lock not in self.running, f"{job.id} beside {self.running[job.lock]}"
            self.running[job.lock] = job.id

    def leave(self, job: ClaimedJob) -> None:
        """A job's outcome is about to be sent; its lock may be free any moment."""
        if job.lock is not None and self.running.get(job.lock) == job.id:
            del self.running[job.lock]


async def test_nothing_is_lost_or_stranded_when_workers_race(
    make_worker: MakeWorker,
    connection: psycopg.AsyncConnection[Any],
    other_connection: psycopg.AsyncConnection[Any],
    database_url: str,
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    ledger = Ledger()
    ids: list[int] = []

    async def defer_all() -> None:
        while len(ids) < JOBS:
            batch = [some_job(dice) for _ in range(dice.randint(1, 20))]
            ids.extend(await defer(connection, *batch))

    async def cancel_some() -> None:
        while len(ids) < JOBS:
            if ids:
                await cancel(other_connection, dice.choice(ids[-40:]))
            await asyncio.sleep(0)

    async def work(worker: VirtualWorker) -> None:
        empty_looks = 0
        while empty_looks < 20 or len(ids) < JOBS:
            jobs = await worker.claim(dice.randint(1, 10)) + await worker.claim_suspect()
            for job in jobs:
                ledger.start(job)
            empty_looks = 0 if jobs else empty_looks + 1
            if not jobs:
                await asyncio.sleep(0.005)  # scheduled ones come due within 20 ms
                continue
            await asyncio.sleep(0)
            outcomes = [some_outcome(dice, job) for job in jobs]
            for job in jobs:
                ledger.leave(job)
            accepted = await worker.record(*outcomes)
            assert accepted == {job.id for job in jobs}

    workers = [await make_worker() for _ in range(4)]
    async with asyncio.timeout(60):
        await asyncio.gather(defer_all(), cancel_some(), *map(work, workers))

    cursor = await connection.execute(
        "select id, state::text, lock, worker_id from forthwith.job order by id"
    )
    assert await cursor.fetchall() == [], "stranded"
    cursor = await connection.execute("select id from forthwith.finished_job order by id")
    assert [job_id for (job_id,) in await cursor.fetchall()] == sorted(ids)


async def test_nothing_is_lost_or_stranded_when_workers_die_while_others_complete(
    make_worker: MakeWorker,
    connection: psycopg.AsyncConnection[Any],
    other_connection: psycopg.AsyncConnection[Any],
) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    ids = [
        job_id
        for _ in range(20)
        for job_id in await defer(connection, *(some_job(dice) for _ in range(20)))
    ]
    busy = 3

    async def live_and_die() -> None:
        nonlocal busy
        for _ in range(8):
            worker = await make_worker()
            for _ in range(4):
                jobs = await worker.claim(8) + await worker.claim_suspect()
                await worker.record(*(Succeeded(job) for job in jobs[::2]))
            jobs = await worker.claim(8)
            await worker.die()
            await asyncio.sleep(0)
            await worker.record(*map(Succeeded, jobs))  # too late, or just in time
            await worker.store.close()
        busy -= 1

    async def sweep() -> None:
        while busy:
            await rescue(other_connection)
            await asyncio.sleep(0.002)

    async with asyncio.timeout(60):
        await asyncio.gather(sweep(), *(live_and_die() for _ in range(3)))
    await rescue(connection)
    last = await make_worker()
    async with asyncio.timeout(30):
        while jobs := await last.claim() + await last.claim_suspect():
            await last.succeed(*jobs)

    cursor = await connection.execute("select id, state::text, lock from forthwith.job")
    assert await cursor.fetchall() == [], "stranded"
    cursor = await connection.execute("select id from forthwith.finished_job order by id")
    assert [job_id for (job_id,) in await cursor.fetchall()] == ids


def some_job(dice: random.Random) -> Any:
    """Return a job at random."""
    later = datetime.timedelta(milliseconds=dice.randint(1, 20))
    return new_job(
        lock=dice.choice(LOCKS),
        priority=dice.randint(-2, 2),
        scheduled_at=datetime.datetime.now(datetime.UTC) + later if dice.random() < 0.2 else None,
        crashes_max=1000,
    )


def some_outcome(dice: random.Random, job: ClaimedJob) -> Outcome:
    """Return an outcome at random."""
    match dice.randrange(10):
        case 0:
            return Released(job)
        case 1 if job.attempts < 5:
            return Retry(job, FAILURE, None, None, dice.randint(-2, 2), None, dice.choice(LOCKS))
        case 2 if job.attempts < 5:
            soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(milliseconds=10)
            return Retry(job, FAILURE, soon, None, None, None, None)
        case 3:
            return Failed(job, FAILURE)
        case _:
            return Succeeded(job)
