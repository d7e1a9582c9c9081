"""The founding durability suite: what was accepted is done, whatever fails in between.

The classes and names are those of the project's founding document; test_founding_names.py keeps
them. Everything runs on a real PostgreSQL, with worker processes that are really killed wherever a
worker's life matters. The strategy is the one that the reference application exports.
"""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from procrastinate.jobs import Job

import forthwith
from app.procrastinate_app import ExponentialBackoffStrategy
from tests.support.effects import Effects, in_process
from tests.support.workers import (
    Flights,
    count,
    database_time,
    finished_ids,
    run_until_idle,
    running_worker,
    status,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from tests.support.worker_process import WorkerProcess

WORKER_APP = "tests.support.worker_app"

#: Retries that come quickly, for tests that wait for them.
QUICKLY = ExponentialBackoffStrategy(max_attempts=5, base_delay=0.02)


class Deliberate(Exception):  # noqa: N818  # it is no error, it is meant
    """A failure that the test wants."""


@pytest.fixture
async def effects(connection: psycopg.AsyncConnection[Any]) -> Effects:
    """What worker processes' tasks did to this test's database."""
    return await Effects(connection).create()


class TestTaskDurability:
    """A task that was deferred is run to its end, once as far as anybody can tell."""

    async def test_task_persists_in_queue(
        self, app: forthwith.App, connection: psycopg.AsyncConnection[Any], database_url: str
    ) -> None:
        @app.task(name="greet")
        async def greet(name: str) -> None: ...

        job_id = await greet.defer_async(name="Ada")
        await app.close_async()

        # It is on disk when defer returns: the server neither skips nor delays that.
        for setting in ("fsync", "synchronous_commit"):
            [(value,)] = await (await connection.execute(f"show {setting}")).fetchall()
            assert value == "on"

        # Another app, which knows nothing but the database, finds it and runs it.
        greeted = []
        later = forthwith.App(database_url)

        @later.task(name="greet")
        async def greet_later(name: str) -> None:
            greeted.append(name)

        async with later.open_async():
            job = await later.job_manager.get_job_async(job_id)
            assert job is not None
            assert (job.status, job.task_name, job.task_kwargs) == (
                "todo",
                "greet",
                {"name": "Ada"},
            )
            assert (job.attempts, job.started_at) == (0, None)
            await run_until_idle(later)
            assert await status(later, job_id) == "succeeded"
        assert greeted == ["Ada"]

    async def test_task_survives_worker_restart(
        self,
        app: forthwith.App,
        effects: Effects,
        make_worker_process: Callable[..., WorkerProcess],
        wait_until: Callable[..., Any],
    ) -> None:
        job_id = await in_process(app, "hang_on_first_run").defer_async(key="precious")
        first = make_worker_process(WORKER_APP)
        await wait_until(lambda: effects.all("started"))
        assert await status(app, job_id) == "doing"

        first.kill()
        assert first.exit_status == -signal.SIGKILL
        second = make_worker_process(WORKER_APP)

        async def is_over() -> bool:
            return await status(app, job_id) == "succeeded"

        await wait_until(is_over)
        assert [run.pid for run in await effects.all("started")] == [first.pid, second.pid]
        assert [run.pid for run in await effects.all("finished")] == [second.pid]
        [crash] = await app.job_manager.list_attempts_async(job_id)
        assert (crash.attempt, crash.kind) == (1, "crashed")
        assert await second.stop() == 0

    async def test_failed_task_retries_correctly(
        self, app: forthwith.App, wait_until: Callable[..., Any]
    ) -> None:
        attempts_seen = []

        @app.task(retry=QUICKLY, pass_context=True)
        async def fail_twice(context: forthwith.JobContext) -> None:
            attempts_seen.append(context.job.attempts)
            if len(attempts_seen) <= 2:
                raise Deliberate(f"run {len(attempts_seen)}")

        job_id = await fail_twice.defer_async()
        async with running_worker(app):
            await wait_until(lambda: len(attempts_seen) == 3)

        assert attempts_seen == [0, 1, 2]
        assert await status(app, job_id) == "succeeded"
        failures = await app.job_manager.list_attempts_async(job_id)
        assert [(f.attempt, f.kind, f.message) for f in failures] == [
            (1, "failed", "run 1"),
            (2, "failed", "run 2"),
        ]
        for failure in failures:
            assert failure.exception_type is not None
            assert "Deliberate" in failure.exception_type
            assert failure.traceback is not None
            assert "fail_twice" in failure.traceback

    async def test_successful_task_completes_exactly_once(
        self,
        app: forthwith.App,
        connection: psycopg.AsyncConnection[Any],
        effects: Effects,
        make_worker_process: Callable[..., WorkerProcess],
        wait_until: Callable[..., Any],
    ) -> None:
        """Two processes compete for the jobs; then a third looks whether anything is left."""
        note = in_process(app, "note")
        competitors = [make_worker_process(WORKER_APP, concurrency=5) for _ in range(2)]
        for competitor in competitors:
            await competitor.wait_ready()
        job_ids = [
            job_id
            for start in range(0, 200, 20)
            for job_id in await note.batch_defer_async(
                *({"key": str(number)} for number in range(start, start + 20))
            )
        ]

        async def all_over() -> bool:
            return await count(app, "todo", "doing") == 0

        await wait_until(all_over)
        for competitor in competitors:
            assert await competitor.stop() == 0
        third = make_worker_process(WORKER_APP, wait=False)
        await wait_until(lambda: third.exit_status is not None)

        noted = await effects.all("noted")
        assert sorted(effect.job_id for effect in noted) == sorted(job_ids)
        assert {effect.pid for effect in noted} <= {competitor.pid for competitor in competitors}
        assert await finished_ids(connection, "succeeded") == sorted(job_ids)

    async def test_concurrent_task_execution_isolation(self, app: forthwith.App) -> None:
        """Jobs that run at once see neither each other's arguments nor each other's context."""
        whose: contextvars.ContextVar[int | None] = contextvars.ContextVar("whose", default=None)
        flights = Flights()
        inherited, kept = [], []

        @app.task(pass_context=True)
        async def mind_its_own(context: forthwith.JobContext, number: int, box: list[int]) -> None:
            with flights.of(number):
                inherited.append(whose.get())
                whose.set(number)
                box.append(number)
                await asyncio.sleep(0.005)
                assert context.job.task_kwargs["number"] == number
                kept.append((number, whose.get(), box))

        await mind_its_own.batch_defer_async(*({"number": n, "box": []} for n in range(50)))
        await run_until_idle(app, concurrency=10)

        assert flights.in_flight_max == 10
        assert sorted(kept) == [(number, number, [number]) for number in range(50)]
        assert inherited == [None] * 50
        assert await count(app, "succeeded") == 50

    async def test_task_idempotency_with_retries(
        self, app: forthwith.App, connection: psycopg.AsyncConnection[Any]
    ) -> None:
        """Effects happen once although the task runs twice: by a key, or by the transaction."""
        await connection.execute("create table payment (key text unique, run integer)")
        at_once = ExponentialBackoffStrategy(max_attempts=2, base_delay=0.001)
        insert = "insert into payment values (%s, %s)"

        @app.task(retry=at_once, pass_context=True)
        async def pay_by_key(context: forthwith.JobContext) -> None:
            run = context.job.attempts
            await connection.execute(f"{insert} on conflict do nothing", ["by key", run])
            if run == 0:
                raise Deliberate

        @app.task(retry=at_once, pass_context=True)
        async def pay_in_transaction(context: forthwith.JobContext) -> None:
            run = context.job.attempts
            async with context.transaction() as transaction:
                await transaction.execute(insert, ["in transaction", run])
                if run == 0:
                    raise Deliberate

        job_ids = [await pay_by_key.defer_async(), await pay_in_transaction.defer_async()]
        while await count(app, "todo"):
            await run_until_idle(app)

        payments = await connection.execute("select key, run from payment order by key")
        # By key the first run's effect stays; in the transaction it goes, and the second's comes.
        assert await payments.fetchall() == [("by key", 0), ("in transaction", 1)]
        for job_id in job_ids:
            job = await app.job_manager.get_job_async(job_id)
            assert job is not None
            assert (job.status, job.attempts) == ("succeeded", 2)


class TestQueueDurability:
    """The queue keeps its order and its promises, with failures around."""

    async def test_queue_maintains_order_fifo(self, app: forthwith.App) -> None:
        ran = []

        @app.task
        async def take_turn(number: int) -> None:
            ran.append(number)

        for number in range(20):
            await take_turn.defer_async(number=number)
        await take_turn.batch_defer_async(*({"number": number} for number in range(20, 100)))
        for number in range(100, 120):
            await take_turn.defer_async(number=number)
        await run_until_idle(app, concurrency=1)

        assert ran == list(range(120))

    async def test_queueing_lock_prevents_duplicates(
        self, app: forthwith.App, database_url: str
    ) -> None:
        @app.task(name="refresh", queueing_lock="refresh")
        async def refresh() -> None: ...

        other = forthwith.App(database_url)

        @other.task(name="refresh", queueing_lock="refresh")
        async def refresh_elsewhere() -> None: ...

        await refresh.defer_async()
        with pytest.raises(forthwith.errors.AlreadyEnqueued):
            await refresh.defer_async()
        await run_until_idle(app)

        # Nothing waits any more, so one of many may come in: one, whoever asks, however fast.
        async with other.open_async():
            answers = await asyncio.gather(
                *(refresh.defer_async() for _ in range(15)),
                *(refresh_elsewhere.defer_async() for _ in range(15)),
                return_exceptions=True,
            )
        refused = [a for a in answers if isinstance(a, forthwith.errors.AlreadyEnqueued)]
        assert len(refused) == 29
        assert await count(app, "todo") == 1
        [job_id] = [answer for answer in answers if isinstance(answer, int)]
        await run_until_idle(app)
        assert await status(app, job_id) == "succeeded"

    async def test_multiple_queues_independent(
        self, app: forthwith.App, wait_until: Callable[..., Any]
    ) -> None:
        release = asyncio.Event()
        ran = []

        @app.task
        async def work(queue: str) -> None:
            ran.append(queue)
            if queue == "stuck":
                await release.wait()

        for queue in ("stuck", "stuck", "flowing", "flowing", "unattended"):
            await work.configure(queue=queue).defer_async(queue=queue)

        async with running_worker(app, queues=["stuck"], concurrency=1):
            await wait_until(lambda: ran == ["stuck"])
            await run_until_idle(app, queues=["flowing"])
            assert ran == ["stuck", "flowing", "flowing"]
            release.set()
            await wait_until(lambda: ran.count("stuck") == 2)

        assert "unattended" not in ran
        [unattended] = await app.job_manager.list_jobs_async(status="todo")
        assert unattended.queue == "unattended"

    async def test_queue_survives_partial_failures(self, app: forthwith.App) -> None:
        @app.task
        async def fail_every_third(number: int) -> None:
            if number % 3 == 0:
                raise Deliberate(f"number {number}")

        job_ids = await fail_every_third.batch_defer_async(*({"number": n} for n in range(30)))
        await run_until_idle(app, concurrency=5)

        assert await count(app, "todo", "doing") == 0
        for number, job_id in enumerate(job_ids):
            failures = await app.job_manager.list_attempts_async(job_id)
            if number % 3 == 0:
                assert await status(app, job_id) == "failed"
                assert [failure.message for failure in failures] == [f"number {number}"]
            else:
                assert await status(app, job_id) == "succeeded"
                assert failures == []


class TestJobRecovery:
    """Failed jobs come back when they should, and not more often."""

    async def test_job_retry_after_max_attempts(
        self,
        app: forthwith.App,
        connection: psycopg.AsyncConnection[Any],
        wait_until: Callable[..., Any],
    ) -> None:
        runs = []
        is_repaired = False

        @app.task(retry=ExponentialBackoffStrategy(max_attempts=3, base_delay=0.02))
        async def need_repair() -> None:
            runs.append(len(runs) + 1)
            if not is_repaired:
                raise Deliberate

        job_id = await need_repair.defer_async()

        async def has_failed() -> bool:
            return await status(app, job_id) == "failed"

        async with running_worker(app, fetch_job_polling_interval=0.05):
            await wait_until(has_failed)
        assert runs == [1, 2, 3]
        assert len(await app.job_manager.list_attempts_async(job_id)) == 3

        # It stays failed until a person says otherwise.
        await run_until_idle(app)
        assert runs == [1, 2, 3]
        is_repaired = True
        now = await database_time(connection)
        await app.job_manager.retry_job_by_id_async(job_id, retry_at=now)
        await run_until_idle(app)
        assert runs == [1, 2, 3, 4]
        assert await status(app, job_id) == "succeeded"

    async def test_exponential_backoff_configuration(
        self,
        app: forthwith.App,
        connection: psycopg.AsyncConnection[Any],
        wait_until: Callable[..., Any],
    ) -> None:
        """Waits double from base_delay up to max_delay, in the decision and in the stored rows."""
        strategy = ExponentialBackoffStrategy(max_attempts=5, base_delay=0.2, max_delay=0.7)
        waits_s = [0.2, 0.4, 0.7, 0.7]
        for attempts, wait_s in enumerate(waits_s):
            asked_at = datetime.datetime.now(datetime.UTC)
            decision = strategy.get_retry_decision(exception=Deliberate(), job=_job(attempts))
            assert isinstance(decision, forthwith.RetryDecision)
            assert decision.retry_at is not None
            wait = datetime.timedelta(seconds=wait_s)
            assert wait <= decision.retry_at - asked_at < wait + datetime.timedelta(seconds=0.1)
            assert strategy.get_schedule_in(exception=Deliberate(), attempts=attempts) == wait_s
        assert strategy.get_retry_decision(exception=Deliberate(), job=_job(4)) is None

        @app.task(retry=strategy)
        async def fail() -> None:
            raise Deliberate

        job_id = await fail.defer_async()
        for attempts, wait_s in enumerate(waits_s, start=1):
            before = await database_time(connection)
            await run_until_idle(app)
            after = await database_time(connection)

            # The wait counts from the failure, which lies between `before` and `after`.
            job = await app.job_manager.get_job_async(job_id)
            assert job is not None
            assert (job.status, job.attempts) == ("todo", attempts)
            assert job.scheduled_at is not None
            wait = datetime.timedelta(seconds=wait_s)
            assert before + wait <= job.scheduled_at <= after + wait
            await _wait_for_time(connection, job.scheduled_at, wait_until)
        await run_until_idle(app)
        assert await status(app, job_id) == "failed"


class TestDataConsistency:
    """What the database says about a job is what happened to it."""

    async def test_task_state_tracking(
        self, app: forthwith.App, wait_until: Callable[..., Any]
    ) -> None:
        may_end = asyncio.Event()

        @app.task
        async def work(ending: str) -> None:
            await may_end.wait()
            if ending == "failed":
                raise Deliberate

        @app.task
        async def hang() -> None:
            await asyncio.Event().wait()

        job_ids = {e: await work.defer_async(ending=e) for e in ("succeeded", "failed")}
        job_ids["aborted"] = await hang.defer_async()
        job_ids["cancelled"] = await work.configure(schedule_in={"hours": 1}).defer_async(ending="")

        async def are(*statuses: str) -> bool:
            found = [await status(app, job_id) for job_id in job_ids.values()]
            return found == list(statuses)

        assert await are("todo", "todo", "todo", "todo")
        async with running_worker(app, concurrency=5, abort_job_polling_interval=0.05):
            await wait_until(lambda: are("doing", "doing", "doing", "todo"))
            assert await app.job_manager.cancel_job_by_id_async(job_ids["cancelled"])
            assert await app.job_manager.cancel_job_by_id_async(job_ids["aborted"], abort=True)
            may_end.set()
            await wait_until(lambda: are(*job_ids))

        for ending, job_id in job_ids.items():
            job = await app.job_manager.get_job_async(job_id)
            assert job is not None
            assert job.finished_at is not None
            assert job.deferred_at < job.finished_at
            if ending == "cancelled":
                assert (job.started_at, job.attempts) == (None, 0)
            else:
                assert job.started_at is not None
                assert job.deferred_at < job.started_at < job.finished_at
                assert job.attempts == 1
        kinds = {
            ending: [a.kind for a in await app.job_manager.list_attempts_async(job_id)]
            for ending, job_id in job_ids.items()
        }
        assert kinds == {
            "succeeded": [],
            "failed": ["failed"],
            "aborted": ["aborted"],
            "cancelled": [],
        }

    async def test_concurrent_tasks_no_race_condition(
        self,
        app: forthwith.App,
        effects: Effects,
        make_worker_process: Callable[..., WorkerProcess],
        wait_until: Callable[..., Any],
    ) -> None:
        """Sixty jobs of one lock, run by two processes, count to sixty without atomic updates."""
        for _ in range(2):
            await make_worker_process(WORKER_APP, concurrency=10).wait_ready()
        add_one = in_process(app, "add_one", lock="counter")
        await add_one.batch_defer_async(*({"key": str(number)} for number in range(30)))
        await asyncio.gather(*(add_one.defer_async(key=str(number)) for number in range(30, 60)))

        async def all_over() -> bool:
            return await count(app, "todo", "doing") == 0

        await wait_until(all_over, deadline_s=60.0)
        assert await count(app, "succeeded") == 60
        assert await effects.counter() == 60
        starts, ends = await effects.all("started"), await effects.all("finished")
        # Never two at once: each ends before the next starts.
        assert all(end.at < start.at for end, start in zip(ends, starts[1:], strict=False))

    async def test_task_arguments_are_serialized(self, app: forthwith.App) -> None:
        received = []

        @app.task
        async def receive(**arguments: Any) -> None:
            received.append(arguments)

        sent = {
            "text": "Grüße, 世界 🌍 \t\n \\ \" '",
            "numbers": [0, -1, 2**53 + 1, 10**30, 0.1, -1.5e10, 5e-324],
            "nested": {"list": [[], [{}], [None, True, False]], "": {"empty key": ""}},
            "nothing": None,
            "long": "x" * 100_000,
        }
        await receive.defer_async(**sent)
        await run_until_idle(app)
        assert received == [sent]
        assert [type(number) for number in received[0]["numbers"]] == [int] * 4 + [float] * 3

        # What JSON can't hold is refused at the call, by its name, and leaves nothing behind.
        for bad in (object(), float("nan"), "\x00", {1, 2}, b"bytes", datetime.datetime.now):
            with pytest.raises(forthwith.errors.InvalidArgument, match="culprit"):
                await receive.defer_async(good=1, culprit=bad)
        assert await count(app, "todo") == 0


class TestJobPriority:
    """Higher priorities go first; nothing goes before its time."""

    async def test_priority_configuration(self, app: forthwith.App) -> None:
        ran = []

        @app.task(priority=5)
        async def take_turn(number: int) -> None:
            ran.append(number)

        priorities = [5, -3, 9, 0, 5, 2**31 - 1, -(2**31)]
        for number, priority in enumerate(priorities):
            task = take_turn if priority == 5 else take_turn.configure(priority=priority)
            job_id = await task.defer_async(number=number)
            job = await app.job_manager.get_job_async(job_id)
            assert job is not None
            assert job.priority == priority
        await run_until_idle(app, concurrency=1)

        assert [priorities[number] for number in ran] == sorted(priorities, reverse=True)
        assert ran.index(0) < ran.index(4), "equal priorities run in the order of deferral"

    async def test_scheduled_tasks_execute_at_right_time(
        self,
        app: forthwith.App,
        connection: psycopg.AsyncConnection[Any],
        wait_until: Callable[..., Any],
        record_figure: Callable[[str, float, str], None],
    ) -> None:
        """Never early, in the order of due times, and woken by them: no poll comes for an hour."""
        ran = []

        @app.task
        async def take_turn(name: str) -> None:
            ran.append(name)

        now = await database_time(connection)
        later = now + datetime.timedelta(seconds=0.9)
        due = {
            "at a time": take_turn.configure(schedule_at=later),
            "in a while": take_turn.configure(schedule_in={"milliseconds": 600}),
            "in the past": take_turn.configure(schedule_at=now - datetime.timedelta(days=1)),
            "tomorrow": take_turn.configure(schedule_in={"days": 1}),
        }
        async with running_worker(app, fetch_job_polling_interval=3600.0):
            job_ids = {name: await task.defer_async(name=name) for name, task in due.items()}
            await wait_until(lambda: len(ran) == 3)

        assert ran == ["in the past", "in a while", "at a time"]
        assert await status(app, job_ids["tomorrow"]) == "todo"
        for name in ("in a while", "at a time"):
            job = await app.job_manager.get_job_async(job_ids[name])
            assert job is not None
            assert job.scheduled_at is not None
            assert job.started_at is not None
            assert job.started_at >= job.scheduled_at
            lateness = job.started_at - job.scheduled_at
            record_figure(f"start after due time ({name})", lateness.total_seconds() * 1e3, "ms")


class TestWorkerResilience:
    """A worker outlives what it runs."""

    async def test_worker_continues_after_task_failure(
        self,
        app: forthwith.App,
        effects: Effects,
        make_worker_process: Callable[..., WorkerProcess],
        wait_until: Callable[..., Any],
    ) -> None:
        """One process meets every kind of failure and still does the work that comes after each."""
        worker = make_worker_process(WORKER_APP, concurrency=1)
        failures = ("ordinary", "unprintable", "not storable", "huge", "exit", "grouped")
        for failure in failures:
            job_id = await in_process(app, "fail").defer_async(key=failure)
            await in_process(app, "note").defer_async(key=failure)

            async def has_gone_on(failure: str = failure) -> bool:
                assert worker.exit_status is None, worker.output()
                return any(effect.key == failure for effect in await effects.all("noted"))

            async def has_failed(job_id: int = job_id) -> bool:
                return await status(app, job_id) == "failed"

            # The next job may run while the failed one's outcome is still on its way to the disk.
            await wait_until(has_gone_on)
            await wait_until(has_failed)
            [attempt] = await app.job_manager.list_attempts_async(job_id)
            assert attempt.exception_type is not None

        assert {effect.pid for effect in await effects.all("noted")} == {worker.pid}
        assert await worker.stop() == 0

    async def test_task_timeout_prevents_hanging(self, app: forthwith.App) -> None:
        told = []

        @app.task(timeout=0.2)
        async def hang() -> None:
            await asyncio.Event().wait()

        @app.task(timeout=0.2, pass_context=True)
        def hang_in_a_thread(context: forthwith.JobContext) -> None:
            """A thread can't be stopped, but it is told."""
            while not context.should_abort():
                time.sleep(0.001)
            told.append(context.abort_reason())
            raise forthwith.errors.JobAborted

        @app.task
        async def work() -> None: ...

        hanging = [await hang.defer_async(), await hang_in_a_thread.defer_async()]
        await work.batch_defer_async(*({} for _ in range(10)))
        await run_until_idle(app, concurrency=2)

        assert told == [forthwith.AbortReason.TIMEOUT]
        assert await count(app, "succeeded") == 10
        assert await count(app, "todo", "doing") == 0
        for job_id in hanging:
            assert await status(app, job_id) == "failed"
            [attempt] = await app.job_manager.list_attempts_async(job_id)
            assert attempt.kind == "timed_out"


def _job(attempts: int) -> Job:
    """A job that ran `attempts` times before, for asking a strategy about it."""
    return Job(
        id=1, queue="default", lock=None, queueing_lock=None, task_name="fail", attempts=attempts
    )


async def _wait_for_time(
    connection: psycopg.AsyncConnection[Any],
    moment: datetime.datetime,
    wait_until: Callable[..., Any],
) -> None:
    async def has_come() -> bool:
        return await database_time(connection) >= moment

    await wait_until(has_come)
