"""Statements whose answer was lost are sent again: the second time changes nothing."""

from __future__ import annotations

import asyncio
import datetime
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from procrastinate.jobs import Status

import forthwith
from forthwith.engine.ports import QUEUE_START, Share
from forthwith.errors import AlreadyEnqueued, ConnectorException
from forthwith.outcome import Aborted, Failed, Released, Retry, Succeeded
from forthwith.store import migrate
from tests.store.virtual_worker import (
    FAILURE,
    VirtualWorker,
    defer,
    new_job,
    observed,
    run,
    take_over,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from forthwith.job import ClaimedJob
    from forthwith.outcome import Outcome

    Connection = psycopg.AsyncConnection[Any]

SOON = datetime.datetime(2126, 1, 1, tzinfo=datetime.UTC)
TABLES = (
    "job",
    "finished_job",
    "failed_attempt",
    "queueing_lock",
    "worker",
    "periodic_defer",
    "queue_pause",
    "result",
    "progress",
    "tally",
    "job_trace",
    "periodic_task",
    "migration",
)
MOMENTS = {"claimed_at", "started_at", "deferred_at", "finished_at", "at", "last_seen"}
IDENTITIES = {"id", "job_id", "lock", "queueing_lock", "key", "worker_id", "message", "priority"}


@dataclass
class Bench:
    """Two workers' connections to one queue, and one worker id that both use."""

    connection: Connection
    worker: VirtualWorker
    twin: VirtualWorker
    made: int = field(default=0)

    @property
    def worker_id(self) -> int:
        """The worker whose claims these are."""
        return self.worker.worker_id

    async def defer(self, **options: Any) -> int:
        """Defer a job with a lock of its own, behind which another waits."""
        self.made += 1
        lock = f"lock {self.made}"
        [job_id, _] = await defer(
            self.connection, new_job(lock=lock, **options), new_job(lock=lock, task="next")
        )
        await self.worker.look()
        return job_id

    async def claimed(self, **options: Any) -> ClaimedJob:
        """Defer such a job and claim it, and no other."""
        job_id = await self.defer(priority=self.made + 1, **options)
        [job] = await self.worker.claim(1)
        assert job.id == job_id
        return job

    async def contents(self) -> dict[str, list[str]]:
        """Return all rows of all tables."""
        contents = {}
        for table in TABLES:
            query = f"select item::text from forthwith.{table} item order by 1"  # noqa: S608
            cursor = await self.connection.execute(query)
            contents[table] = [row for (row,) in await cursor.fetchall()]
        return contents

    async def story(self, job_id: int, *others: str) -> dict[str, list[dict[str, Any]]]:
        """Return what the tables say of a job, without identities and times (and these `others`): comparable
        with another's.
        """
        hidden = MOMENTS | IDENTITIES | set(others)
        story = {}
        for table, column in (
            ("job", "id"),
            ("finished_job", "id"),
            ("failed_attempt", "job_id"),
            ("queueing_lock", "job_id"),
        ):
            query = f"select to_jsonb(item) from forthwith.{table} item where {column} = %s"  # noqa: S608
            rows = await (await self.connection.execute(query, [job_id])).fetchall()
            story[table] = [{k: v for k, v in row.items() if k not in hidden} for (row,) in rows]
        query = "select state::text from forthwith.job where lock = %s and task = 'next'"
        cursor = await self.connection.execute(query, [await self.lock_of(job_id)])
        return {**story, "next in line": [{"state": state} for (state,) in await cursor.fetchall()]}

    async def lock_of(self, job_id: int) -> str | None:
        """Return the lock of a job, live or finished."""
        query = (
            "select lock from forthwith.job where id = %(id)s"
            " union all select lock from forthwith.finished_job where id = %(id)s"
        )
        row = await (await self.connection.execute(query, {"id": job_id})).fetchone()
        return None if row is None else row[0]


@pytest.fixture
async def bench(database_url: str, connection: Connection) -> AsyncIterator[Bench]:
    """Two connections to a queue."""
    worker, twin = (VirtualWorker(database_url, connection) for _ in range(2))
    await worker.register()
    yield Bench(connection, worker, twin)
    for one in (worker, twin):
        await one.store.close()


OUTCOMES: dict[str, Callable[[ClaimedJob], Outcome]] = {
    "succeeded": Succeeded,
    "failed": lambda job: Failed(job, FAILURE),
    "aborted while it ran": lambda job: Aborted(job, FAILURE._replace(kind="aborted")),
    "aborted before it ran": lambda job: Aborted(job, None),
    "retry now": lambda job: Retry(job, FAILURE, None, None, None, None, None),
    "retry later": lambda job: Retry(job, FAILURE, SOON, None, 3, "other", None),
    "retry in a while": lambda job: Retry(job, FAILURE, None, 60.0, None, None, None),
    "released": Released,
}


class TestOutcomes:
    @pytest.mark.parametrize("kind", OUTCOMES)
    @pytest.mark.parametrize("repeated", [False, True])
    async def test_outcome_sent_again_changes_nothing(
        self, bench: Bench, kind: str, repeated: bool
    ) -> None:
        job = await bench.claimed(queueing_lock="key")
        outcome = OUTCOMES[kind](job)
        assert await bench.worker.record(outcome) == {job.id}
        before = await bench.contents()
        assert await bench.twin.record(outcome, repeated=repeated) == (
            {job.id} if repeated else set()
        )
        assert await bench.contents() == before

    @pytest.mark.parametrize("kind", OUTCOMES)
    async def test_outcome_sent_twice_at_once_counts_once(self, bench: Bench, kind: str) -> None:
        once, twice = await bench.claimed(), await bench.claimed()
        assert await bench.worker.record(OUTCOMES[kind](once)) == {once.id}
        outcome = OUTCOMES[kind](twice)
        answers = await asyncio.gather(bench.worker.record(outcome), bench.twin.record(outcome))
        assert sorted(answers, key=len) == [set(), {twice.id}]
        # A wait counts from the moment when it is recorded, which is another for each.
        moment = ["scheduled_at"] if kind == "retry in a while" else []
        assert await bench.story(twice.id, *moment) == await bench.story(once.id, *moment)

    async def test_batch_of_all_kinds_sent_again_and_at_once_counts_once(
        self, bench: Bench
    ) -> None:
        jobs = [await bench.claimed() for _ in OUTCOMES]
        batch = [make(job) for make, job in zip(OUTCOMES.values(), jobs, strict=True)]
        ids = {job.id for job in jobs}
        answers = await asyncio.gather(bench.worker.record(*batch), bench.twin.record(*batch))
        assert sorted(answers, key=len) == [set(), ids]
        before = await bench.contents()
        assert await bench.worker.record(*batch, repeated=True) == ids
        assert await bench.contents() == before

    @pytest.mark.parametrize("kind", ["retry now", "released"])
    async def test_outcome_sent_again_after_the_next_claim_leaves_that_alone(
        self, bench: Bench, kind: str
    ) -> None:
        job = await bench.claimed(queueing_lock="key")
        await bench.worker.record(OUTCOMES[kind](job))
        await bench.worker.look()
        again = {other.id: other for other in await bench.worker.claim()}[job.id]
        before = await bench.contents()
        assert await bench.worker.record(OUTCOMES[kind](job), repeated=True) == {job.id}
        assert await bench.contents() == before
        assert await bench.worker.record(Succeeded(again)) == {again.id}

    async def test_outcome_without_history_sent_again_changes_nothing(self, bench: Bench) -> None:
        bench.worker.store._keeps = lambda _: False
        job = await bench.claimed()
        assert await bench.worker.record(Succeeded(job)) == {job.id}
        before = await bench.contents()
        await bench.worker.record(Succeeded(job), repeated=True)
        assert await bench.contents() == before

    async def test_start_noted_twice_is_the_same_start(self, bench: Bench) -> None:
        job = await bench.claimed()
        assert await bench.worker.store.mark_started(job)
        before = await bench.contents()
        assert await bench.twin.store.mark_started(job)
        assert await bench.contents() == before
        assert await asyncio.gather(
            bench.worker.store.mark_started(job), bench.twin.store.mark_started(job)
        ) == [True, True]
        assert await bench.contents() == before


class TestClaims:
    async def test_claim_sent_again_leaves_the_first_ones_jobs_alone(self, bench: Bench) -> None:
        first = [await bench.claimed() for _ in range(3)]
        before = await bench.contents()
        shares = [Share("default", 10, QUEUE_START)]
        for worker in (bench.worker, bench.twin):
            assert await worker.store.claim(shares, [], bench.worker_id) == []
        assert await bench.contents() == before
        assert await bench.worker.succeed(*first) == {job.id for job in first}

    async def test_claim_sent_twice_at_once_claims_each_job_once(self, bench: Bench) -> None:
        ids = await defer(bench.connection, *(new_job() for _ in range(40)))
        shares = [Share("default", 30, QUEUE_START)]
        one, other = await asyncio.gather(
            bench.worker.store.claim(shares, [], bench.worker_id),
            bench.twin.store.claim(shares, [], bench.worker_id),
        )
        assert sorted(job.id for job in one + other) == ids
        assert {job.lease_token for job in one + other} == {1}

    async def test_claim_of_a_suspect_sent_twice_claims_it_once(self, bench: Bench) -> None:
        job = await bench.claimed(crashes_max=2)
        gone = await observed(bench.connection, bench.worker_id)
        await take_over(bench.connection, gone)
        await bench.worker.register()
        answers = await asyncio.gather(
            bench.worker.store.claim_suspect(None, [], bench.worker_id),
            bench.twin.store.claim_suspect(None, [], bench.worker_id),
        )
        [again] = [*answers[0], *answers[1]]
        assert (again.id, again.crashes) == (job.id, 1)
        before = await bench.contents()
        assert await bench.twin.store.claim_suspect(None, [], bench.worker_id) == []
        assert await bench.contents() == before

    async def test_orphans_are_given_back_once(self, bench: Bench) -> None:
        jobs = [await bench.claimed() for _ in range(3)]
        known = [jobs[0].id]
        answers = await asyncio.gather(
            bench.worker.store.release_orphans(bench.worker_id, known),
            bench.twin.store.release_orphans(bench.worker_id, known),
        )
        assert sorted(answers[0] + answers[1]) == [job.id for job in jobs[1:]]
        before = await bench.contents()
        assert await bench.worker.store.release_orphans(bench.worker_id, known) == []
        assert await bench.contents() == before

    async def test_looks_repeated_change_nothing(self, bench: Bench) -> None:
        await bench.defer()
        before = await bench.contents()
        await asyncio.gather(bench.worker.look(), bench.twin.look())
        await run(bench.connection, "advance_lines", locks=["lock 1"])
        assert await bench.contents() == before


class TestWorkers:
    @pytest.mark.parametrize("max_crashes", [1, 3])
    async def test_rescue_sent_again_and_at_once_takes_each_job_once(
        self, bench: Bench, database_url: str, max_crashes: int
    ) -> None:
        once = await bench.claimed(crashes_max=max_crashes)
        await bench.worker.store.mark_started(once) if max_crashes == 1 else None
        await take_over(bench.connection, await observed(bench.connection, bench.worker_id))
        await bench.worker.register()
        twice = await bench.claimed(crashes_max=max_crashes)
        await bench.worker.store.mark_started(twice) if max_crashes == 1 else None
        gone = await observed(bench.connection, bench.worker_id)
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
            answers = await asyncio.gather(
                take_over(bench.connection, gone), take_over(other, gone)
            )
        assert [len(answer) for answer in sorted(answers, key=len)] == [0, 1]
        before = await bench.contents()
        assert await take_over(bench.connection, gone) == []
        assert await bench.contents() == before
        assert await bench.story(twice.id) == await bench.story(once.id)

    async def test_departure_sent_again_changes_nothing(self, bench: Bench) -> None:
        await bench.claimed()
        give_back = ("expire_lease", "give_back", "unregister_worker")
        for name in give_back:
            await run(bench.connection, name, worker_id=bench.worker_id)
        before = await bench.contents()
        for name in (*give_back, *reversed(give_back)):
            await run(bench.connection, name, worker_id=bench.worker_id)
        assert await bench.contents() == before

    async def test_worker_that_has_left_cannot_renew_claim_or_fall_asleep(
        self, bench: Bench
    ) -> None:
        await bench.defer()
        await run(bench.connection, "unregister_worker", worker_id=bench.worker_id)
        before = await bench.contents()
        renewed = await run(
            bench.connection,
            "renew_lease",
            worker_id=bench.worker_id,
            lease_s=30.0,
            renew_interval_s=None,
            running=None,
        )
        assert renewed == []
        await bench.worker.store.set_sleeping(bench.worker_id, sleeping=True)
        assert await bench.worker.claim() == []
        assert await bench.contents() == before

    async def test_worker_whose_lease_is_over_stays_that_way(self, bench: Bench) -> None:
        job = await bench.claimed()
        await run(bench.connection, "expire_lease", worker_id=bench.worker_id)
        before = await bench.contents()
        assert not await run(
            bench.connection,
            "renew_lease",
            worker_id=bench.worker_id,
            lease_s=30.0,
            renew_interval_s=None,
            running=None,
        )
        assert await run(bench.connection, "unregister_worker", worker_id=bench.worker_id) == []
        assert await bench.contents() == before
        assert await bench.worker.succeed(job) == {job.id}, "the fence alone decides of outcomes"

    async def test_sleep_said_twice_is_one_sleep(self, bench: Bench) -> None:
        for sleeping in (True, False):
            await bench.worker.store.set_sleeping(bench.worker_id, sleeping=sleeping)
            before = await bench.contents()
            await asyncio.gather(
                bench.worker.store.set_sleeping(bench.worker_id, sleeping=sleeping),
                bench.twin.store.set_sleeping(bench.worker_id, sleeping=sleeping),
            )
            assert await bench.contents() == before


class TestByHand:
    @pytest.mark.parametrize("delete_job", [False, True])
    @pytest.mark.parametrize("abort", [False, True])
    async def test_cancel_sent_again_and_at_once_counts_once(
        self, app: forthwith.App, bench: Bench, abort: bool, delete_job: bool
    ) -> None:
        once, twice = await bench.defer(), await bench.defer(queueing_lock="key")
        cancel = app.job_manager.cancel_job_by_id_async
        assert await cancel(once, abort=abort, delete_job=delete_job)
        answers = await asyncio.gather(
            *(cancel(twice, abort=abort, delete_job=delete_job) for _ in range(2))
        )
        assert sorted(answers) == [False, True]
        before = await bench.contents()
        assert not await cancel(twice, abort=abort, delete_job=delete_job)
        assert await bench.contents() == before
        if not delete_job:
            assert await bench.story(twice) == await bench.story(once)

    async def test_abort_asked_again_and_at_once_is_one_abort(
        self, app: forthwith.App, bench: Bench
    ) -> None:
        job = await bench.claimed()
        cancel = app.job_manager.cancel_job_by_id_async
        assert await cancel(job.id, abort=True)
        before = await bench.contents()
        assert all(await asyncio.gather(*(cancel(job.id, abort=True) for _ in range(2))))
        assert not await cancel(job.id)  # it runs: only an abort can be asked for
        assert await bench.contents() == before

    @pytest.mark.parametrize("state", ["failed", "cancelled", "running"])
    async def test_retry_asked_again_and_at_once_is_one_retry(
        self, app: forthwith.App, bench: Bench, state: str
    ) -> None:
        async def ready_to_retry() -> int:
            job = await bench.claimed()
            if state == "failed":
                await bench.worker.fail(job)
            elif state == "cancelled":
                await bench.worker.release(job)
                await app.job_manager.cancel_job_by_id_async(job.id)
            return job.id

        once, twice = await ready_to_retry(), await ready_to_retry()
        retry = app.job_manager.retry_job_by_id_async
        await retry(once, SOON)
        answers = await asyncio.gather(
            retry(twice, SOON), retry(twice, SOON), return_exceptions=True
        )
        assert [type(answer) for answer in answers if answer is not None] == [ConnectorException]
        before = await bench.contents()
        with pytest.raises(ConnectorException):
            await retry(twice, SOON)
        assert await bench.contents() == before
        assert await bench.story(twice) == await bench.story(once)

    @pytest.mark.parametrize("delete_job", [False, True])
    async def test_end_by_hand_sent_again_and_at_once_counts_once(
        self, app: forthwith.App, bench: Bench, delete_job: bool
    ) -> None:
        once, twice = (await bench.claimed()).id, (await bench.claimed()).id

        def finish(job_id: int) -> Awaitable[None]:
            return app.job_manager.finish_job_by_id_async(job_id, Status.FAILED, delete_job)

        await finish(once)
        answers = await asyncio.gather(finish(twice), finish(twice), return_exceptions=True)
        assert [type(answer) for answer in answers if answer is not None] == [ConnectorException]
        before = await bench.contents()
        with pytest.raises(ConnectorException):
            await finish(twice)
        assert await bench.contents() == before
        if not delete_job:
            assert await bench.story(twice) == await bench.story(once)

    async def test_deleting_old_jobs_twice_deletes_no_others(
        self, app: forthwith.App, bench: Bench
    ) -> None:
        await bench.worker.succeed(await bench.claimed())
        await bench.worker.fail(await bench.claimed())
        await app.job_manager.delete_old_jobs(nb_hours=0)
        before = await bench.contents()
        await asyncio.gather(*(app.job_manager.delete_old_jobs(nb_hours=0) for _ in range(2)))
        assert await bench.contents() == before
        assert len(before["finished_job"]) == 1


class TestDefers:
    async def test_defer_sent_again_under_a_queueing_lock_changes_nothing(
        self, app: forthwith.App, bench: Bench
    ) -> None:
        deferrer = app.configure_task("work", queueing_lock="key")
        await deferrer.defer_async()
        before = await bench.contents()
        for again in (
            deferrer.defer_async(),
            deferrer.batch_defer_async({}),
            app.configure_task("work", queueing_lock="key", lock="other").batch_defer_async({}, {}),
        ):
            with pytest.raises(AlreadyEnqueued):
                await again
        assert await bench.contents() == before

    async def test_defers_at_once_under_a_queueing_lock_make_one_job(
        self, app: forthwith.App, bench: Bench, database_url: str
    ) -> None:
        other = forthwith.App(database_url)
        async with other.open_async():
            answers = await asyncio.gather(
                *(
                    one.configure_task("work", queueing_lock="key").defer_async()
                    for one in (app, other) * 5
                ),
                return_exceptions=True,
            )
        assert [type(answer) for answer in answers].count(int) == 1
        assert {type(answer) for answer in answers} == {int, AlreadyEnqueued}
        assert len((await bench.contents())["job"]) == 1

    async def test_tick_sent_again_and_at_once_is_deferred_once(
        self, app: forthwith.App, bench: Bench
    ) -> None:
        job = app.configure_task("work", task_kwargs={"timestamp": 60}).job

        def tick() -> Awaitable[int | None]:
            return app.job_manager.defer_periodic_job(job, "", 60)

        answers = await asyncio.gather(*(tick() for _ in range(5)))
        assert [answer is None for answer in answers].count(False) == 1
        before = await bench.contents()
        assert await tick() is None
        assert await bench.contents() == before


@pytest.mark.usefixtures("clear_of_midnight")
class TestSchema:
    async def test_migrating_again_and_at_once_changes_nothing(
        self, bench: Bench, database_url: str
    ) -> None:
        await bench.claimed()
        before = await bench.contents()
        shape = await catalog(bench.connection)

        async def again() -> list[str]:
            async with await psycopg.AsyncConnection.connect(
                database_url, autocommit=True
            ) as other:
                return await migrate.migrate(other)

        assert await asyncio.gather(*(again() for _ in range(3))) == [[], [], []]
        assert await bench.contents() == before
        assert await catalog(bench.connection) == shape

    async def test_partitions_kept_twice_and_at_once_are_kept_once(self, bench: Bench) -> None:
        bench.worker.store._history_retention_s = bench.twin.store._history_retention_s = 3600.0
        await bench.worker.succeed(await bench.claimed())
        await asyncio.gather(bench.worker.store.prune(), bench.twin.store.prune())
        before, shape = await bench.contents(), await catalog(bench.connection)
        assert await bench.worker.store.prune() == []
        assert await asyncio.gather(bench.worker.store.prune(), bench.twin.store.prune()) == [
            [],
            [],
        ]
        assert await bench.contents() == before
        assert await catalog(bench.connection) == shape


async def catalog(connection: Connection) -> list[str]:
    """Return what there is in the schema, by kind and name."""
    query = """
        select relkind::text || ' ' || relname from pg_class
        where relnamespace = 'forthwith'::regnamespace
        union all
        select 'function ' || oid::regprocedure::text from pg_proc
        where pronamespace = 'forthwith'::regnamespace
        order by 1
    """
    return [name for (name,) in await (await connection.execute(query)).fetchall()]
