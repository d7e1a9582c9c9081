"""Taking over from workers that are gone, and from nobody else."""

from __future__ import annotations

import asyncio
import datetime
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
    observed,
    rescue,
    run,
    states,
    status,
    take_over,
)
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import psycopg

    MakeWorker = Callable[..., Awaitable[VirtualWorker]]
    Connection = psycopg.AsyncConnection[Any]

HELD = """
select from pg_locks where locktype = 'advisory' and objsubid = 2
and database = (select oid from pg_database where datname = current_database())
"""


async def fates(connection: Connection, *silent_ids: int) -> dict[int, str]:
    """Rescue; return what became of each job."""
    return {row.job_id: row.fate for row in await rescue(connection, *silent_ids)}


async def worker_ids(connection: Connection) -> list[int]:
    """Return the ids of the registered workers."""
    cursor = await connection.execute("select id from forthwith.worker order by id")
    return [worker_id for (worker_id,) in await cursor.fetchall()]


@pytest.fixture
async def leases(database_url: str) -> AsyncIterator[PostgresLeases]:
    """A lease store on a session of its own, whose advisory lock shows that it lives."""
    leases = PostgresLeases(
        Database(database_url), name="leased", queues=None, concurrency=1, lease_s=3600
    )
    yield leases
    await leases.close()


class TestWhoIsGone:
    """`Watch` decides whether a worker is gone; the statement takes over from one that still is as it
    was observed."""

    async def test_worker_that_has_not_renewed_since_it_was_observed(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        [job] = await worker.claim()
        assert await fates(connection) == {}, "nobody was observed to be gone"
        gone = await observed(connection, worker.worker_id)
        await worker.store.set_sleeping(worker.worker_id, sleeping=True)  # no renewal
        assert [row.fate for row in await take_over(connection, gone)] == ["rescued"]
        assert await worker.succeed(job) == set()
        assert await status(connection, job_id) == "todo"
        assert await worker_ids(connection) == []

    async def test_worker_that_renewed_after_it_was_observed_keeps_its_jobs(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        await worker.claim()
        gone = await observed(connection, worker.worker_id)
        await run(
            connection,
            "renew_lease",
            worker_id=worker.worker_id,
            lease_s=1.0,
            renew_interval_s=None,
            running=None,
        )
        assert await take_over(connection, gone) == []
        assert await status(connection, job_id) == "doing"
        assert await worker_ids(connection) == [worker.worker_id]

    async def test_worker_that_has_a_session_again_keeps_its_jobs(
        self, leases: PostgresLeases, worker: VirtualWorker, connection: Connection
    ) -> None:
        worker.worker_id = await leases.register()
        [job_id] = await defer(connection, new_job())
        await worker.claim()
        gone = await observed(connection, worker.worker_id, sessionless=True)
        assert await take_over(connection, gone) == []
        await leases.close()
        await wait_for_end_of_sessions(connection)
        assert [row.job_id for row in await take_over(connection, gone)] == [job_id]

    async def test_look_asks_for_the_sessions_of_doubted_workers_alone(
        self, leases: PostgresLeases, worker: VirtualWorker
    ) -> None:
        leased = await leases.register()
        look = worker.store.look_at_workers
        seen = {seen.worker_id: seen.has_session for seen in (await look([])).sightings}
        assert seen == {leased: None, worker.worker_id: None}
        sightings = (await look([leased, worker.worker_id])).sightings
        seen = {seen.worker_id: seen.has_session for seen in sightings}
        assert seen == {leased: True, worker.worker_id: False}

    async def test_look_tells_one_connection_of_its_own_from_the_next(
        self, worker: VirtualWorker
    ) -> None:
        first = await worker.store.look_at_workers([])
        assert first.session == (await worker.store.look_at_workers([])).session
        assert first.asked_s <= first.answered_s
        await worker.store.close()
        assert first.session != (await worker.store.look_at_workers([])).session

    async def test_look_says_what_the_workers_said_of_themselves(
        self, database_url: str, worker: VirtualWorker, connection: Connection
    ) -> None:
        leases = PostgresLeases(
            Database(database_url),
            name="leased",
            queues=None,
            concurrency=1,
            lease_s=7.0,
            renew_interval_s=0.25,
        )
        leased = await leases.register()
        await connection.execute(
            "update forthwith.worker set lease_expires_at = '-infinity' where id = %s", [leased]
        )
        sightings = (await worker.store.look_at_workers([])).sightings
        await leases.close()
        seen = {seen.worker_id: seen for seen in sightings}
        assert (seen[leased].lease_s, seen[leased].renew_interval_s) == (7.0, 0.25)
        assert (seen[leased].is_expired, seen[leased].has_ended) == (True, False)
        before = seen[worker.worker_id]  # of a version that does not say
        assert before.lease_s == pytest.approx(3600, abs=1)
        assert before.renew_interval_s is None
        assert (before.is_expired, before.has_ended) == (False, False)
        assert before.server_age_s > 0

    async def test_worker_that_was_taken_for_dead_learns_it_at_its_next_renewal(
        self, leases: PostgresLeases, connection: Connection
    ) -> None:
        worker_id = await leases.register()
        await run(connection, "expire_lease", worker_id=worker_id)
        await rescue(connection)
        assert not await leases.renew(worker_id)

    async def test_worker_that_left_jobs_behind_is_rescued_at_once(
        self, leases: PostgresLeases, worker: VirtualWorker, connection: Connection
    ) -> None:
        worker.worker_id = await leases.register()
        [job_id] = await defer(connection, new_job())
        await worker.claim()
        await leases.unregister(worker.worker_id, leaves_jobs=False)
        assert await fates(connection) == {job_id: "rescued"}

    async def test_worker_that_is_just_claiming_is_passed_over(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        async with other_connection.transaction():
            await claim_within(other_connection, worker)
            async with asyncio.timeout(30):
                assert await fates(connection, worker.worker_id) == {}
        assert await fates(connection, worker.worker_id) == {job_id: "rescued"}


class TestWhoIsInTheWay:
    """A rescue waits for nobody."""

    async def test_locked_job_is_left_for_a_later_sweep_and_the_others_are_not(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        pinned, *others = await defer(connection, *(new_job() for _ in range(5)))
        await worker.claim()
        async with other_connection.transaction():
            await pin(other_connection, pinned)
            async with asyncio.timeout(30):
                rescued = await fates(connection, worker.worker_id)
                assert rescued == dict.fromkeys(others, "rescued")
                assert await fates(connection) == {}
            assert await status(connection, pinned) == "doing"
            assert await worker_ids(connection) == [worker.worker_id]
        assert await fates(connection) == {pinned: "rescued"}
        assert await worker_ids(connection) == []

    async def test_worker_some_of_whose_jobs_were_rescued_neither_renews_nor_claims(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        pinned, rescued = await defer(connection, new_job(), new_job())
        jobs = await worker.claim()
        async with other_connection.transaction():
            await pin(other_connection, pinned)
            assert await fates(connection, worker.worker_id) == {rescued: "rescued"}
            await defer(connection, new_job())
            assert await worker.claim() == []
            assert await worker.claim_suspect() == []
            assert (
                await run(
                    connection,
                    "renew_lease",
                    worker_id=worker.worker_id,
                    lease_s=1,
                    renew_interval_s=None,
                    running=None,
                )
                == []
            )
        # What was not rescued yet is still its own to complete.
        assert await worker.succeed(*jobs) == {pinned}

    async def test_claim_that_waits_for_the_rescue_of_its_worker_takes_nothing(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        pinned, _ = await defer(connection, new_job(), new_job())
        await worker.claim()
        await defer(connection, new_job())
        async with other_connection.transaction():
            await pin(other_connection, pinned)
            async with connection.transaction():
                assert len(await fates(connection, worker.worker_id)) == 1
                claiming = asyncio.create_task(worker.claim())
                await wait_until(lambda: somebody_waits(other_connection))
            assert await claiming == []

    async def test_line_whose_next_job_is_locked_keeps_nobody_else_waiting(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        poison, following, free = await defer(
            connection, new_job(lock="L", crashes_max=2), new_job(lock="L"), new_job()
        )
        await worker.claim()
        await connection.execute("update forthwith.job set crashes = 1 where id = %s", [poison])
        async with other_connection.transaction(force_rollback=True):
            await cancel(other_connection, following)
            async with asyncio.timeout(30):
                assert await fates(connection, worker.worker_id) == {free: "rescued"}
        assert await fates(connection) == {poison: "failed"}
        assert await states(connection) == {following: "ready", free: "ready"}
        assert len(await run(connection, "list_attempts", job_id=poison)) == 1

    async def test_rescue_and_completion_in_opposite_orders_do_not_deadlock(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        first, second = await defer(connection, new_job(), new_job())
        jobs = await worker.claim()
        async with other_connection.transaction():  # as a completion of both that has come half way
            await pin(other_connection, second)
            assert await fates(connection, worker.worker_id) == {first: "rescued"}
            await pin(other_connection, first)
        assert await worker.succeed(*jobs) == {second}

    async def test_worker_that_leaves_while_its_last_claim_is_on_its_way_stays_on_the_list(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        leaving = run(connection, "unregister_worker", worker_id=worker.worker_id)
        pruning = run(connection, "prune_workers", unseen_s=-3600.0)
        async with other_connection.transaction():
            await claim_within(other_connection, worker)
            assert await pruning == []
            left = asyncio.create_task(leaving)
            await wait_until(lambda: somebody_waits(other_connection))
        assert await left == []
        assert await worker_ids(connection) == [worker.worker_id]
        await run(connection, "expire_lease", worker_id=worker.worker_id)
        assert await fates(connection) == {job_id: "rescued"}

    async def test_sweep_of_the_version_before_learns_who_has_ended(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        pinned, rescued = await defer(connection, new_job(), new_job())
        await worker.claim()
        before = "select job_id, fate from forthwith.rescue('1 hour'::interval, '0'::interval)"
        assert await (await connection.execute(before)).fetchall() == []
        async with other_connection.transaction():
            await pin(other_connection, pinned)
            assert await fates(connection, worker.worker_id) == {rescued: "rescued"}
        assert await (await connection.execute(before)).fetchall() == [(pinned, "rescued")]
        assert await worker_ids(connection) == []


class TestManyJobs:
    async def test_rescue_goes_in_batches_and_forgets_the_worker_after_the_last(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        ids = await defer(connection, *(new_job() for _ in range(250)))
        await worker.claim(250)
        batches = [await rescue(connection, worker.worker_id, batch_size=100)]
        assert await worker_ids(connection) == [worker.worker_id]
        # The first batch has ended the worker: whoever sweeps next needs no observation of its own.
        while batches[-1]:
            batches.append(await rescue(connection, batch_size=100))
        assert [len(batch) for batch in batches] == [100, 100, 50, 0]
        assert sorted(row.job_id for batch in batches for row in batch) == ids
        assert await worker_ids(connection) == []

    async def test_many_workers_that_are_gone_at_once_are_taken_over_in_one_sweep(
        self, connection: Connection
    ) -> None:
        await connection.execute(
            "with worker as (insert into forthwith.worker"
            " (name, host, pid, concurrency, lease_expires_at)"
            " select 'gone', 'test', 1, 1, 'infinity' from generate_series(1, 300) returning id)"
            " insert into forthwith.job (queue, task, state, worker_id, lease_token)"
            " select 'default', 'work', 'ready', id, 1 from worker"
        )
        gone = await observed(connection, *await worker_ids(connection), sessionless=True)
        assert len(await take_over(connection, gone)) == 300
        assert await worker_ids(connection) == []


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
        await worker.claim()
        await connection.execute("update forthwith.job set crashes = 1 where id = %s", [first])
        await worker.die()
        assert await fates(connection) == {first: "failed"}
        assert await states(connection) == {second: "ready"}

    @pytest.mark.parametrize("crashes_max", [2, 3])
    async def test_rescued_job_keeps_its_lock(
        self,
        crashes_max: int,
        make_worker: MakeWorker,
        worker: VirtualWorker,
        connection: Connection,
    ) -> None:
        first, second = await defer(
            connection, new_job(lock="L", crashes_max=crashes_max), new_job(lock="L")
        )
        await worker.claim()
        await worker.die()
        await rescue(connection)
        other = await make_worker()
        [job] = await other.claim() + await other.claim_suspect()
        assert job.id == first
        await other.succeed(job)
        assert await states(connection) == {second: "ready"}

    async def test_only_a_job_with_its_last_chance_is_a_suspect(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        """Otherwise the many jobs of a killed worker would run again one after the other."""
        many, few, again = await defer(
            connection, new_job(crashes_max=3), new_job(crashes_max=2), new_job(crashes_max=4)
        )
        await connection.execute("update forthwith.job set crashes = 2 where id = %s", [again])
        jobs = await worker.claim()
        assert [job.is_suspect for job in jobs] == [False, False, False]
        await worker.die()
        await rescue(connection)
        assert await states(connection) == {many: "ready", few: "suspect", again: "suspect"}

    async def test_job_with_its_last_chance_is_a_suspect_after_a_retry_too(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        """Found by `forthwith verify`, seed 1: two such jobs came back ready, and into one worker."""
        soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
        now, later, locked = await defer(
            connection, new_job(crashes_max=2), new_job(crashes_max=2), new_job(lock="L")
        )
        await worker.look()  # puts in line what has a lock
        jobs = {job.id: job for job in await worker.claim()}
        await connection.execute("update forthwith.job set crashes = crashes_max - 1")
        for job_id, at in ((now, None), (later, soon), (locked, None)):
            assert await worker.retry(jobs[job_id], at=at) == {job_id}
        await worker.look()
        assert await states(connection) == {now: "suspect", later: "scheduled", locked: "suspect"}
        await connection.execute(
            "update forthwith.job set scheduled_at = now() where id = %s", [later]
        )
        await worker.look()
        assert (await states(connection))[later] == "suspect"
        assert await worker.claim() == []
        assert [job.id for job in await worker.claim_suspect()] == [now]

    async def test_rescued_job_does_not_collide_with_one_of_its_queueing_lock(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [first] = await defer(connection, new_job(queueing_lock="K"))
        await worker.claim()
        [second] = await defer(connection, new_job(queueing_lock="K"))
        await worker.die()
        assert await fates(connection) == {first: "rescued"}
        assert await states(connection) == {first: "ready", second: "ready"}

    async def test_sweeps_at_once_rescue_each_job_once(
        self, worker: VirtualWorker, connection: Connection, other_connection: Connection
    ) -> None:
        ids = await defer(connection, *(new_job() for _ in range(200)))
        await worker.claim(200)
        await worker.die()
        both = await asyncio.gather(rescue(connection), rescue(other_connection))
        assert sorted(row.job_id for rows in both for row in rows) == ids
        cursor = await connection.execute(
            "select count(*), max(crashes) from forthwith.job where crashes = 1"
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


async def pin(connection: Connection, job_id: int) -> None:
    """Lock a job's row for as long as the transaction lasts."""
    await connection.execute("select from forthwith.job where id = %s for update", [job_id])


async def claim_within(connection: Connection, worker: VirtualWorker) -> None:
    """Claim a job for the worker in the connection's transaction."""
    await run(
        connection,
        "claim",
        queues=["default"],
        limits=[1],
        after_ranks=[-(2**62)],
        after_ids=[0],
        unknown_tasks=[],
        crashed_too=True,
        worker_id=worker.worker_id,
    )


async def somebody_waits(connection: Connection) -> bool:
    """Whether a session of this database waits for a row."""
    cursor = await connection.execute(
        "select from pg_locks join pg_stat_activity using (pid)"
        " where not granted and datname = current_database()"
    )
    return cursor.rowcount > 0
