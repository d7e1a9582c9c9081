"""Taking over from workers that are gone, and from nobody else."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.database.database import Database
from forthwith.store.leases import PostgresLeases
from tests.store.virtual_worker import (
    VirtualWorker,
    cancel,
    defer,
    details,
    new_job,
    rescue,
    run,
    states,
    status,
)
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    import psycopg

    MakeWorker = Callable[..., Awaitable[VirtualWorker]]
    Connection = psycopg.AsyncConnection[Any]

HELD = """
select from pg_locks where locktype = 'advisory' and objsubid = 2
and database = (select oid from pg_database where datname = current_database())
"""
MISSED = "update forthwith.worker set last_seen = last_seen - interval '1 minute'"


async def fates(connection: Connection, **options: Any) -> dict[int, str]:
    """Rescue; return what became of each job."""
    return {row.job_id: row.fate for row in await rescue(connection, **options)}


@pytest.fixture
def leases(database_url: str) -> Iterator[PostgresLeases]:
    """A lease store on a session of its own, whose advisory lock shows that it lives."""
    leases = PostgresLeases(
        Database(database_url), name="leased", queues=None, concurrency=1, lease_s=3600
    )
    yield leases
    leases.close()


class TestWhoIsGone:
    async def test_worker_whose_lease_has_expired(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        [job] = await worker.claim()
        assert await fates(connection) == {}
        await worker.die()
        assert await fates(connection) == {job_id: "rescued"}
        assert await worker.succeed(job) == set()
        assert await status(connection, job_id) == "todo"

    async def test_worker_whose_session_is_gone_and_which_missed_renewals(
        self, leases: PostgresLeases, worker: VirtualWorker, connection: Connection
    ) -> None:
        worker.worker_id = leases.register()
        [job_id] = await defer(connection, new_job())
        await worker.claim()
        await connection.execute(MISSED)
        # Only the virtual worker of the fixture, which has no session of its own, and no job.
        assert await fates(connection, missing_after_s=2) == {}
        leases.close()
        await wait_for_end_of_sessions(connection)
        assert await fates(connection, missing_after_s=2) == {job_id: "rescued"}

    async def test_worker_whose_session_is_gone_keeps_its_jobs_while_it_renews(
        self, leases: PostgresLeases, worker: VirtualWorker, connection: Connection
    ) -> None:
        worker.worker_id = leases.register()
        [job_id] = await defer(connection, new_job())
        await worker.claim()
        leases.close()
        await wait_for_end_of_sessions(connection)
        assert await fates(connection, missing_after_s=60) == {}
        assert leases.renew(worker.worker_id)  # on a new session
        await connection.execute(MISSED)
        assert await fates(connection, missing_after_s=2) == {}
        assert await status(connection, job_id) == "doing"

    async def test_nobody_right_after_a_start_of_the_server(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        await worker.claim()
        await worker.die()
        assert await fates(connection, restart_grace_s=10**9) == {}
        assert await fates(connection, restart_grace_s=0) == {job_id: "rescued"}

    async def test_worker_that_was_taken_for_dead_learns_it_at_its_next_renewal(
        self, leases: PostgresLeases, connection: Connection
    ) -> None:
        worker_id = leases.register()
        await run(connection, "expire_lease", worker_id=worker_id)
        await rescue(connection)
        assert not leases.renew(worker_id)

    async def test_worker_that_left_jobs_behind_is_rescued_at_once(
        self, leases: PostgresLeases, worker: VirtualWorker, connection: Connection
    ) -> None:
        worker.worker_id = leases.register()
        [job_id] = await defer(connection, new_job())
        await worker.claim()
        leases.unregister(worker.worker_id, leaves_jobs=False)
        assert await fates(connection) == {job_id: "rescued"}

    async def test_worker_that_is_just_claiming_is_passed_over(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        await worker.die()
        async with other_connection.transaction():
            await run(
                other_connection,
                "claim",
                queues=["default"],
                limits=[1],
                after_ranks=[-(2**62)],
                after_ids=[0],
                unknown_tasks=[],
                worker_id=worker.worker_id,
            )
            async with asyncio.timeout(10):
                assert await fates(connection) == {}
        assert await fates(connection) == {job_id: "rescued"}


class TestWhatBecomesOfJobs:
    async def test_crash_counts_as_an_attempt_and_is_in_the_history(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        await worker.claim()
        await worker.die()
        await rescue(connection)
        job = await details(connection, job_id)
        assert (job["attempts"], job["crashes"], job["worker_id"]) == (1, 1, None)
        [attempt] = await run(connection, "list_attempts", job_id=job_id)
        assert attempt[1:4] == (1, "crashed", worker.worker_id)
        assert f"Worker {worker.worker_id} (virtual, pid 1 on test)" in attempt[6]

    async def test_job_that_crashed_its_workers_too_often_is_failed_as_poison(
        self, make_worker: MakeWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job(crashes_max=3))
        seen = []
        for _ in range(3):
            worker = await make_worker()
            [job] = await worker.claim() or await worker.claim_suspect()
            await worker.die()
            seen.append((await fates(connection))[job_id])
        assert seen == ["rescued", "rescued", "failed"]
        job = await details(connection, job_id)
        assert (job["status"], job["attempts"], job["crashes"]) == ("failed", 3, 3)
        attempts = await run(connection, "list_attempts", job_id=job_id)
        assert [row[1:3] for row in attempts] == [(1, "crashed"), (2, "crashed"), (3, "crashed")]
        assert "poison" in attempts[-1][6]

    async def test_job_that_must_not_run_twice_and_had_not_started_is_given_back(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job(crashes_max=1))
        [job] = await worker.claim()
        await worker.die()
        assert await fates(connection) == {job_id: "released"}
        assert await states(connection) == {job_id: "ready"}
        after = await details(connection, job_id)
        assert (after["attempts"], after["crashes"]) == (0, 0)
        assert await run(connection, "list_attempts", job_id=job_id) == []
        assert not await worker.store.mark_started(job), "it may not start any more"

    async def test_job_that_must_not_run_twice_and_had_started_is_failed(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job(crashes_max=1))
        [job] = await worker.claim()
        assert await worker.store.mark_started(job)
        await worker.die()
        assert await fates(connection) == {job_id: "failed"}
        assert await status(connection, job_id) == "failed"

    async def test_job_whose_abort_was_requested_is_aborted(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        await worker.claim()
        await cancel(connection, job_id, abort=True)
        await worker.die()
        assert await fates(connection) == {job_id: "aborted"}
        assert await status(connection, job_id) == "aborted"

    async def test_line_goes_on_after_a_job_that_failed_as_poison(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        first, second = await defer(connection, new_job(lock="L", crashes_max=2), new_job(lock="L"))
        await connection.execute("update forthwith.job set crashes = 1 where id = %s", [first])
        await worker.claim()
        await worker.die()
        assert await fates(connection) == {first: "failed"}
        assert await states(connection) == {second: "ready"}

    async def test_rescued_job_keeps_its_lock(
        self, make_worker: MakeWorker, worker: VirtualWorker, connection: Connection
    ) -> None:
        first, second = await defer(connection, new_job(lock="L"), new_job(lock="L"))
        await worker.claim()
        await worker.die()
        await rescue(connection)
        other = await make_worker()
        assert await other.claim() == []
        [job] = await other.claim_suspect()
        assert job.id == first
        await other.succeed(job)
        assert await states(connection) == {second: "ready"}

    async def test_rescued_job_does_not_collide_with_one_of_its_queueing_lock(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [first] = await defer(connection, new_job(queueing_lock="K"))
        await worker.claim()
        [second] = await defer(connection, new_job(queueing_lock="K"))
        await worker.die()
        assert await fates(connection) == {first: "rescued"}
        assert await states(connection) == {first: "suspect", second: "ready"}

    async def test_sweeps_at_once_rescue_each_job_once(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        ids = await defer(connection, *(new_job() for _ in range(200)))
        await worker.claim(200)
        await worker.die()
        both = await asyncio.gather(rescue(connection), rescue(other_connection))
        assert sorted(row.job_id for rows in both for row in rows) == ids
        cursor = await connection.execute(
            "select count(*), max(crashes) from forthwith.job where state = 'suspect'"
        )
        assert await cursor.fetchone() == (200, 1)

    async def test_completion_and_rescue_at_once_end_each_job_one_way(
        self, make_worker: MakeWorker, connection: Connection, other_connection: Connection
    ) -> None:
        for _ in range(10):
            ids = await defer(connection, *(new_job() for _ in range(100)))
            worker = await make_worker()
            jobs = await worker.claim(100)
            await worker.die()
            accepted, rescued = await asyncio.gather(worker.succeed(*jobs), fates(other_connection))
            assert accepted | rescued.keys() == set(ids)
            assert not accepted & rescued.keys()
            await connection.execute("delete from forthwith.job")
            await worker.store.close()


async def wait_for_end_of_sessions(connection: Connection) -> None:
    """Wait until no advisory lock of a worker is held in this database."""

    async def all_gone() -> bool:
        cursor = await connection.execute(HELD)
        return cursor.rowcount == 0

    await wait_until(all_gone)
