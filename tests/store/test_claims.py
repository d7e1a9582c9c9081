"""Claims and what follows them: order, fence, returns, cancelling, queueing locks."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.engine.ports import QUEUE_START, Position, Share
from forthwith.errors import LeaseLost
from forthwith.outcome import Aborted, Failed, Retry, Succeeded
from forthwith.retry import WAIT_MAX_S
from tests.store.virtual_worker import (
    FAILURE,
    VirtualWorker,
    cancel,
    defer,
    details,
    new_job,
    run,
    states,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    MakeWorker = Callable[..., Awaitable[VirtualWorker]]
    Connection = psycopg.AsyncConnection[Any]


def in_s(seconds: float) -> datetime.datetime:
    """Return the time in some seconds."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)


class TestOrder:
    async def test_higher_priority_first_then_older_first(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        priorities = [0, 5, -3, 5, 0, 2**31 - 1, -(2**31)]
        ids = await defer(connection, *(new_job(priority=priority) for priority in priorities))
        expected = [ids[index] for index in (5, 1, 3, 0, 4, 2, 6)]
        claimed = [job.id for _ in ids for job in await worker.claim(1)]
        assert claimed == expected

    async def test_claim_over_several_queues_takes_the_best_of_all(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        low = await defer(connection, *(new_job(queue="low") for _ in range(5)))
        high = await defer(connection, *(new_job(queue="high", priority=1) for _ in range(3)))
        claimed = await worker.claim(4)
        assert [job.id for job in claimed] == [*high, low[0]]

    async def test_claim_leaves_other_queues_alone(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        await defer(connection, new_job(queue="theirs"))
        [ours] = await defer(connection, new_job(queue="ours"))
        assert [job.id for job in await worker.claim(queues=["ours", "none"])] == [ours]

    async def test_claim_continues_after_its_position(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        best, second, third = await defer(
            connection, new_job(priority=2), new_job(priority=1), new_job(priority=1)
        )
        share = Share("default", 1, Position(-2, best))
        assert [job.id for job in await worker.store.claim([share], [], worker.worker_id)] == [
            second
        ]
        share = Share("default", 5, Position(-1, second))
        assert [job.id for job in await worker.store.claim([share], [], worker.worker_id)] == [
            third
        ]

    async def test_unknown_tasks_stay_for_other_workers(
        self, make_worker: MakeWorker, connection: Connection
    ) -> None:
        strange, known = await defer(connection, new_job(task="strange"), new_job())
        one, other = await make_worker(), await make_worker()
        assert [job.id for job in await one.claim(unknown_tasks=["strange"])] == [known]
        assert await status(connection, strange) == "todo"
        assert [job.id for job in await other.claim()] == [strange]

    async def test_two_workers_claim_disjoint_jobs_though_one_has_not_committed(
        self, make_worker: MakeWorker, connection: Connection
    ) -> None:
        ids = await defer(connection, *(new_job() for _ in range(20)))
        one, other = await make_worker(), await make_worker()
        shares = [Share("default", 8, QUEUE_START)]
        async with one.store._claims.use() as held, held.transaction():
            cursor = await one.store._on(
                held,
                "claim",
                queues=["default"],
                limits=[8],
                after_ranks=[QUEUE_START.rank],
                after_ids=[QUEUE_START.id],
                unknown_tasks=[],
                crashed_too=True,
                worker_id=one.worker_id,
            )
            first = {row[0] for row in await cursor.fetchall()}
            async with asyncio.timeout(30):  # it steps over the locked rows and waits for nothing
                second = {job.id for job in await other.store.claim(shares, [], other.worker_id)}
        assert first == set(ids[:8])
        assert second == set(ids[8:16])

    async def test_claims_at_once_give_each_job_to_one_worker(
        self, make_worker: MakeWorker, connection: Connection
    ) -> None:
        ids = await defer(connection, *(new_job(priority=number % 3) for number in range(600)))
        workers = [await make_worker() for _ in range(4)]

        async def claim_all(worker: VirtualWorker) -> list[int]:
            claimed: list[int] = []
            while jobs := await worker.claim(7):
                claimed += [job.id for job in jobs]
            return claimed

        shares = await asyncio.gather(*map(claim_all, workers))
        assert sorted(job_id for share in shares for job_id in share) == ids

    async def test_worker_that_is_not_registered_claims_nothing(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        await defer(connection, new_job())
        await connection.execute("delete from forthwith.worker")
        assert await worker.claim() == []


class TestFence:
    @pytest.mark.parametrize("how", ["succeed", "fail", "abort", "retry", "release"])
    async def test_stale_token_changes_nothing(
        self, how: str, make_worker: MakeWorker, connection: Connection
    ) -> None:
        await defer(connection, new_job(lock="L"))
        one, other = await make_worker(), await make_worker()
        [stale] = await one.claim()
        await one.release(stale)
        [claimed] = await other.claim()
        before = await details(connection, stale.id)

        assert await getattr(one, how)(stale) == set()

        assert await details(connection, stale.id) == before
        assert await run(connection, "list_attempts", job_id=stale.id) == []
        assert await other.succeed(claimed) == {claimed.id}

    @pytest.mark.parametrize("how", ["succeed", "fail", "abort", "retry", "release"])
    async def test_second_completion_is_refused(
        self, how: str, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        [job] = await worker.claim()
        assert await worker.succeed(job) == {job_id}
        before = await details(connection, job_id)
        assert await getattr(worker, how)(job) == set()
        assert await details(connection, job_id) == before
        assert await run(connection, "list_attempts", job_id=job_id) == []

    async def test_repeated_batch_is_accepted_once_and_reported_as_accepted(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        await defer(connection, *(new_job() for _ in range(5)))
        jobs = await worker.claim()
        outcomes = [
            Succeeded(jobs[0]),
            Failed(jobs[1], FAILURE),
            Retry(jobs[2], FAILURE, None, None, None, None, None),
            Retry(jobs[3], FAILURE, in_s(3600), None, None, None, None),
            Aborted(jobs[4], FAILURE),
        ]
        ids = {job.id for job in jobs}
        assert await worker.record(*outcomes) == ids
        assert await worker.record(*outcomes, repeated=True) == ids
        cursor = await connection.execute("select count(*) from forthwith.failed_attempt")
        assert await cursor.fetchone() == (4,)
        cursor = await connection.execute("select count(*) from forthwith.finished_job")
        assert await cursor.fetchone() == (3,)

    async def test_transaction_of_a_lost_lease_rolls_back(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        await connection.execute("create table effect (key text)")
        await defer(connection, new_job())
        [job] = await worker.claim()
        await worker.release(job)

        async def work() -> None:
            async with worker.store.completing.transaction(job, lambda _id: None) as transaction:
                await transaction.execute("insert into effect values ('done')")

        with pytest.raises(LeaseLost):
            await work()
        cursor = await connection.execute("select count(*) from effect")
        assert await cursor.fetchone() == (0,)
        assert await status(connection, job.id) == "todo"


class TestReturns:
    async def test_retry_in_the_future_waits_for_its_time(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        await defer(connection, new_job())
        [job] = await worker.claim()
        at = in_s(3600)
        await worker.retry(job, at=at, priority=7, queue="elsewhere", lock="new")
        assert await states(connection) == {job.id: "scheduled"}
        now = await details(connection, job.id)
        assert (now["priority"], now["queue"], now["lock"]) == (7, "elsewhere", "new")
        assert (now["attempts"], now["scheduled_at"]) == (1, at)
        assert await worker.claim() == []

    @pytest.mark.parametrize("wait_s", [0.0, 0.25, 3600.0, WAIT_MAX_S])
    async def test_wait_counts_from_when_the_database_records_the_retry(
        self, wait_s: float, worker: VirtualWorker, connection: Connection
    ) -> None:
        await defer(connection, new_job())
        [job] = await worker.claim()
        clock = "select clock_timestamp()"
        [(before,)] = await (await connection.execute(clock)).fetchall()
        await worker.retry(job, in_s=wait_s)
        [(after,)] = await (await connection.execute(clock)).fetchall()
        due = (await details(connection, job.id))["scheduled_at"]
        wait = datetime.timedelta(seconds=wait_s)
        assert before + wait <= due <= after + wait
        assert await states(connection) == {job.id: "scheduled" if wait_s else "ready"}

    async def test_retry_now_can_be_claimed_at_once_with_its_attempt_counted(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        await defer(connection, new_job())
        [job] = await worker.claim()
        await worker.retry(job)
        [again] = await worker.claim()
        assert (again.attempts, again.lease_token) == (1, job.lease_token + 2)

    async def test_failures_are_recorded_with_their_attempt(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        [job] = await worker.claim()
        await worker.retry(job)
        [job] = await worker.claim()
        await worker.fail(job)
        rows = await run(connection, "list_attempts", job_id=job_id)
        assert [(row[1], row[2], row[3], row[6]) for row in rows] == [
            (1, "failed", worker.worker_id, "went wrong"),
            (2, "failed", worker.worker_id, "went wrong"),
        ]
        assert (await details(connection, job_id))["attempts"] == 2

    async def test_release_uses_no_attempt(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        await defer(connection, new_job())
        [job] = await worker.claim()
        await worker.release(job)
        [again] = await worker.claim()
        assert (again.attempts, again.crashes) == (0, 0)

    async def test_job_aborted_before_it_ran_counts_no_attempt(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        await defer(connection, new_job())
        [job] = await worker.claim()
        await worker.record(Aborted(job, None))
        assert (await details(connection, job.id))["attempts"] == 0

    async def test_orphans_are_released_and_known_jobs_stay(
        self, make_worker: MakeWorker, connection: Connection
    ) -> None:
        await defer(connection, *(new_job(lock=f"L{number}") for number in range(4)))
        worker, other = await make_worker(), await make_worker()
        claimed = await worker.claim(3)
        await other.claim()
        known = [claimed[0].id]
        released = await worker.store.release_orphans(worker.worker_id, known)
        assert sorted(released) == [job.id for job in claimed[1:]]
        assert list((await states(connection)).values()) == ["claimed", "ready", "ready", "claimed"]

    async def test_suspects_are_claimed_one_at_a_time_best_first(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        ids = await defer(connection, *(new_job(priority=p) for p in (0, 3, 1)))
        await connection.execute("update forthwith.job set state = 'suspect', crashes = 1")
        assert await worker.claim() == []
        order = []
        while suspects := await worker.claim_suspect():
            assert len(suspects) == 1
            order.append(suspects[0].id)
        assert order == [ids[1], ids[2], ids[0]]

    async def test_jobs_that_have_crashed_are_left_on_demand(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        crashed, fresh = await defer(connection, new_job(), new_job())
        await connection.execute("update forthwith.job set crashes = 1 where id = %s", [crashed])
        share = Share("default", 10, QUEUE_START)
        [job] = await worker.store.claim([share], [], worker.worker_id, crashed_too=False)
        assert job.id == fresh
        [job] = await worker.store.claim([share], [], worker.worker_id)
        assert job.id == crashed

    async def test_suspects_of_other_queues_and_unknown_tasks_are_left(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        await defer(connection, new_job(queue="theirs"), new_job(task="strange"))
        await connection.execute("update forthwith.job set state = 'suspect', crashes = 1")
        assert await worker.claim_suspect(["default"], ["strange"]) == []


class TestCancelling:
    @pytest.mark.parametrize("scheduled", [False, True])
    async def test_waiting_job_goes_to_history_as_cancelled(
        self, scheduled: bool, worker: VirtualWorker, connection: Connection
    ) -> None:
        at = in_s(3600) if scheduled else None
        [job_id] = await defer(connection, new_job(scheduled_at=at))
        assert await cancel(connection, job_id)
        assert await status(connection, job_id) == "cancelled"
        assert await worker.claim() == []
        assert not await cancel(connection, job_id)

    async def test_running_job_is_asked_to_abort_only_on_request(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        [job] = await worker.claim()
        assert not await cancel(connection, job_id)
        assert await worker.store.abort_requested([job_id]) == []
        assert await cancel(connection, job_id, abort=True)
        assert await worker.store.abort_requested([job_id]) == [job_id]
        assert await worker.abort(job) == {job_id}
        assert await status(connection, job_id) == "aborted"

    async def test_job_to_be_aborted_that_retries_comes_back_at_once(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [job_id] = await defer(connection, new_job())
        [job] = await worker.claim()
        await cancel(connection, job_id, abort=True)
        await worker.retry(job, at=in_s(3600))
        [again] = await worker.claim()
        assert again.abort_requested

    async def test_cancelling_the_head_of_a_line_lets_the_next_go(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        first, second = await defer(connection, new_job(lock="L"), new_job(lock="L"))
        await worker.look()
        assert await cancel(connection, first)
        assert await states(connection) == {second: "ready"}


class TestQueueingLocks:
    async def test_second_defer_is_left_out_until_the_first_is_claimed(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        job = new_job(queueing_lock="K")
        [first] = await defer(connection, job)
        assert await defer(connection, job) == []
        assert [claimed.id for claimed in await worker.claim()] == [first]
        assert len(await defer(connection, job)) == 1

    async def test_cancelled_job_frees_its_queueing_lock(self, connection: Connection) -> None:
        job = new_job(queueing_lock="K", scheduled_at=in_s(3600))
        [first] = await defer(connection, job)
        await cancel(connection, first)
        assert len(await defer(connection, job)) == 1

    async def test_retried_job_does_not_collide_with_one_deferred_meanwhile(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        job = new_job(queueing_lock="K")
        [first] = await defer(connection, job)
        [claimed] = await worker.claim()
        [second] = await defer(connection, job)
        assert await worker.retry(claimed) == {first}
        assert {again.id for again in await worker.claim()} == {first, second}

    @pytest.mark.parametrize("how", ["retry", "release"])
    async def test_job_that_came_back_waits_under_its_key_again(
        self, how: str, worker: VirtualWorker, connection: Connection
    ) -> None:
        job = new_job(queueing_lock="K")
        await defer(connection, job)
        [claimed] = await worker.claim()
        await getattr(worker, how)(claimed)
        assert await defer(connection, job) == []
        await worker.claim()
        assert len(await defer(connection, job)) == 1

    async def test_duplicates_within_a_batch_leave_the_first(self, connection: Connection) -> None:
        keys = ["K", None, "K", "M", "K", None]
        jobs = [new_job(queueing_lock=key, priority=place) for place, key in enumerate(keys)]
        assert len(await defer(connection, *jobs)) == 4
        cursor = await connection.execute("select priority from forthwith.job order by id")
        assert [priority for (priority,) in await cursor.fetchall()] == [0, 1, 3, 5]

    async def test_concurrent_defers_of_one_key_give_exactly_one_job(
        self, connection: Connection, other_connection: Connection
    ) -> None:
        for number in range(100):
            job = new_job(queueing_lock=f"K{number}")
            results = await asyncio.gather(defer(connection, job), defer(other_connection, job))
            assert sorted(map(len, results)) == [0, 1]

    async def test_defer_waits_for_an_open_transaction_with_the_key_and_follows_its_end(
        self,
        connection: Connection,
        other_connection: Connection,
    ) -> None:
        job = new_job(queueing_lock="K")
        async with other_connection.transaction(force_rollback=True):
            assert len(await defer(other_connection, job)) == 1
            deferring = asyncio.create_task(defer(connection, job))
            await asyncio.wait({deferring}, timeout=0.2)
            assert not deferring.done()
        assert len(await deferring) == 1
