"""What a desk tells of queues, workers, tasks, periodic tasks, locks, errors and history."""

from __future__ import annotations

import datetime
import itertools
import json
from dataclasses import asdict, is_dataclass
from typing import TYPE_CHECKING, Any

import pytest

import forthwith
from forthwith.errors import DatabaseUnavailable, InvalidArgument
from forthwith.histogram import BOUNDS_S
from forthwith.operations import Desk, QueueState, census
from forthwith.operations.history import step_for
from forthwith.store.operator_pool import TooSlow
from tests.store.virtual_worker import VirtualWorker, defer, new_job

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    Connection = psycopg.AsyncConnection[Any]
    MakeWorker = Callable[..., Awaitable[VirtualWorker]]

HOUR = datetime.timedelta(hours=1)
TALLY = """
insert into forthwith.tally values (
    date_trunc('minute', now()) - make_interval(mins => %(minutes_ago)s), %(queue)s, %(task)s, %(outcome)s,
    %(attempts)s, %(run_s)s, %(run_counts)s, %(wait_s)s, %(wait_counts)s)
"""


def now() -> datetime.datetime:
    """Return the time."""
    return datetime.datetime.now(tz=datetime.UTC)


async def tally(connection: Connection, **values: Any) -> None:
    """Write a tally."""
    given: dict[str, Any] = {
        "minutes_ago": 2,
        "queue": "default",
        "task": "work",
        "outcome": "succeeded",
        "attempts": 10,
        "run_s": 5.0,
        "run_counts": [0] * len(BOUNDS_S),
        "wait_s": 1.0,
        "wait_counts": [0] * len(BOUNDS_S),
    }
    await connection.execute(TALLY, {**given, **values})


def histogram(**counts: int) -> list[int]:
    """Return counts by bucket: `histogram(b3=10)`."""
    return [counts.get(f"b{number}", 0) for number in range(len(BOUNDS_S))]


async def test_an_empty_database(desk: Desk) -> None:
    overview = await desk.overview()
    assert (overview.queues, overview.workers, overview.errors) == ([], [], [])
    assert abs(overview.as_of - now()) < datetime.timedelta(minutes=1)
    assert len(overview.history) == 60
    assert all(point.ended == 0 and point.step_s == 60 for point in overview.history)
    assert await desk.locks() == []
    assert await desk.periodic() == []
    assert await desk.tasks() == []  # but those that every app has


async def test_everything_is_fit_for_json(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    await defer(connection, *[new_job(lock="L") for _ in range(2)], new_job())
    await worker.fail(*await worker.claim())
    for answer in (
        await desk.overview(),
        await desk.jobs(),
        await desk.job(1),
        *await desk.tasks(),
        *await desk.locks(),
    ):
        assert is_dataclass(answer)
        assert not isinstance(answer, type)
        told = json.loads(json.dumps(asdict(answer), default=datetime.datetime.isoformat))
        assert told.keys() == set(answer.__dataclass_fields__)


class TestQueues:
    async def test_every_field(
        self, desk: Desk, connection: Connection, worker: VirtualWorker
    ) -> None:
        await defer(connection, *[new_job(queue="mail") for _ in range(5)])
        claimed = await worker.claim(2)
        assert len(claimed) == 2
        await defer(
            connection,
            *[new_job(queue="mail", lock="L") for _ in range(4)],
            *[new_job(queue="mail", scheduled_at=now() + HOUR) for _ in range(6)],
        )
        await worker.look()
        await tally(connection, queue="mail", outcome="failed", attempts=3)
        await tally(connection, queue="mail", outcome="crashed", attempts=1)
        await tally(connection, queue="mail", outcome="succeeded", attempts=21)
        await tally(connection, queue="mail", outcome="released", attempts=1000)
        await tally(connection, queue="mail", outcome="failed", attempts=100, minutes_ago=70)
        [[first_ready_at]] = await (
            await connection.execute(
                "select min(deferred_at) from forthwith.job where state = 'ready' and worker_id is null"
            )
        ).fetchall()
        assert await desk.queues() == [
            QueueState(
                name="mail",
                paused_at=None,
                ready=4,
                blocked=3,
                scheduled=6,
                running=2,
                failed_last_hour=4,
                ended_per_minute=5.0,
                oldest_waiting_at=first_ready_at,
                listeners=1,
                is_exact=True,
            )
        ]
        assert (await desk.queues())[0].waiting == 13

    async def test_job_whose_time_has_come_is_ready(
        self, desk: Desk, connection: Connection
    ) -> None:
        await defer(connection, new_job(scheduled_at=now() + HOUR))
        due_at = now() - HOUR
        await connection.execute("update forthwith.job set scheduled_at = %s", [due_at])
        [queue] = await desk.queues()
        assert (queue.ready, queue.scheduled, queue.listeners) == (1, 0, 0)
        assert queue.oldest_waiting_at is not None
        assert queue.oldest_waiting_at > due_at  # when it was deferred

    @pytest.mark.usefixtures("worker")
    async def test_queues_without_jobs(self, desk: Desk, connection: Connection) -> None:
        await desk.pause_queue("paused")
        await tally(connection, queue="tallied")
        await connection.execute("update forthwith.worker set queues = '{listened}'")
        queues = {queue.name: queue for queue in await desk.queues()}
        assert list(queues) == ["listened", "paused", "tallied"]
        assert queues["paused"].paused_at is not None
        assert [queue.listeners for queue in queues.values()] == [1, 0, 0]
        assert [queue.waiting for queue in queues.values()] == [0, 0, 0]

    async def test_counts_that_are_cut_off(self, desk: Desk, connection: Connection) -> None:
        await defer(connection, *[new_job(queue=f"q{n}") for n in range(4)])
        taken = await census.take_census(desk._queries, rows_max=3)
        assert not taken.is_exact
        assert sum(count.ready for count in taken.counts) == 3
        assert sorted(taken.ready_queues) == ["q0", "q1", "q2", "q3"]
        assert (await census.take_census(desk._queries, rows_max=5)).is_exact

    async def test_fewer_are_counted_where_that_takes_too_long(
        self, desk: Desk, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await defer(connection, *[new_job() for _ in range(4)])
        asked: list[int] = []
        counted = census._counted

        async def slow(queries: Any, rows_max: int) -> census.Census:
            asked.append(rows_max)
            if rows_max == census.ROWS_MAX:
                raise TooSlow
            return await counted(queries, rows_max)

        monkeypatch.setattr(census, "_counted", slow)
        monkeypatch.setattr(census, "ROWS_MAX_IN_HASTE", 3)
        [queue] = await desk.queues()
        assert (queue.ready, queue.is_exact) == (3, False)
        assert asked == [census.ROWS_MAX, 3]


class TestWorkers:
    async def test_every_field(self, desk: Desk, connection: Connection) -> None:
        await connection.execute(
            "insert into forthwith.worker (name, host, pid, queues, concurrency, running, tasks, lease_s,"
            " renew_interval_s, lease_expires_at) values ('w', 'h', 7, '{a,b}', 9, 4, '{t}', 30, 1,"
            " clock_timestamp() + interval '30 s')"
        )
        [worker] = await desk.workers()
        assert (worker.name, worker.host, worker.pid) == ("w", "h", 7)
        assert (worker.queues, worker.concurrency, worker.running) == (["a", "b"], 9, 4)
        assert worker.tasks_known == ["t"]
        assert worker.started_at <= worker.last_seen < worker.lease_expires_at
        assert 0 < worker.lease_left_s <= 30
        assert isinstance(worker.id, int)

    async def test_silence(self, desk: Desk, connection: Connection) -> None:
        changes = {
            "last_seen = clock_timestamp()": False,
            "last_seen = clock_timestamp() - interval '2000 s'": True,
            "renew_interval_s = null": False,
            "lease_expires_at = 'infinity'": False,
            "lease_expires_at = clock_timestamp() - interval '1 s'": True,
            "lease_expires_at = 'infinity', ended = true": True,
        }
        await connection.execute(
            "insert into forthwith.worker (name, host, pid, concurrency, lease_s, renew_interval_s,"
            " lease_expires_at) values ('w', 'h', 7, 9, 3600, 600,"
            " clock_timestamp() + interval '1 hour')"
        )
        for change, is_silent in changes.items():
            await connection.execute(f"update forthwith.worker set {change}".encode())  # noqa: S608
            [worker] = await desk.workers()
            assert worker.is_silent is is_silent, change


class TestTasks:
    async def test_every_field(
        self, desk: Desk, app: forthwith.App, connection: Connection, worker: VirtualWorker
    ) -> None:
        @app.task(name="mine")
        async def mine() -> None: ...

        await connection.execute("update forthwith.worker set tasks = '{theirs}'")
        await defer(connection, *[new_job(task="theirs") for _ in range(3)])
        await worker.claim(1)
        await defer(connection, new_job(task="nobodys", scheduled_at=now() + HOUR))
        await tally(
            connection,
            task="theirs",
            attempts=90,
            run_s=90 * 0.03,
            run_counts=histogram(b3=90),
            wait_s=45 * 0.0755,
            wait_counts=histogram(b0=45, b4=45),
        )
        await tally(
            connection,
            task="theirs",
            outcome="failed",
            attempts=6,
            run_s=6 * 0.75,
            wait_s=0,
            run_counts=histogram(b6=6),
            minutes_ago=3,
        )
        await tally(
            connection,
            task="theirs",
            outcome="retried",
            attempts=4,
            queue="other",
            run_s=0,
            wait_s=0,
        )
        await tally(connection, task="theirs", outcome="released", attempts=900, run_s=0, wait_s=0)
        tasks = {task.name: task for task in await desk.tasks()}
        theirs, mine_told, nobodys = tasks["theirs"], tasks["mine"], tasks["nobodys"]
        assert (theirs.is_known, theirs.known_by, theirs.is_exact) == (True, 1, True)
        assert (theirs.waiting, theirs.running) == (2, 1)
        assert (theirs.ended_last_hour, theirs.failed_last_hour) == (100, 6)
        assert theirs.failure_rate == pytest.approx(0.1)
        assert theirs.run_p50_s == pytest.approx(0.01 + 0.04 * 48 / 90)
        assert theirs.run_p95_s == pytest.approx(0.5 + 0.5 * 1.2 / 6)
        assert theirs.wait_p50_s == pytest.approx(0.001)
        assert theirs.wait_p95_s == pytest.approx(0.05 + 0.05 * 40.5 / 45)
        assert (mine_told.is_known, mine_told.known_by, mine_told.waiting) == (True, 0, 0)
        assert (mine_told.ended_last_hour, mine_told.failure_rate) == (0, None)
        assert (mine_told.run_p50_s, mine_told.wait_p95_s) == (None, None)
        assert (nobodys.is_known, nobodys.waiting) == (False, 1)

    async def test_of_every_app_are_told_if_they_have_jobs(
        self, desk: Desk, connection: Connection
    ) -> None:
        name = "builtin:procrastinate.builtin_tasks.remove_old_jobs"
        await defer(connection, new_job(task=name))
        [task] = await desk.tasks()
        assert (task.name, task.is_known, task.waiting) == (name, True, 1)

    async def test_silent_worker_knows_nothing(
        self, desk: Desk, connection: Connection, worker: VirtualWorker
    ) -> None:
        await connection.execute("update forthwith.worker set tasks = '{work}'")
        await worker.die()
        [work] = [task for task in await desk.tasks() if task.name == "work"]
        assert (work.is_known, work.known_by) == (False, 0)


class TestPeriodic:
    async def add(self, connection: Connection, cron: str = "*/5 * * * *") -> None:
        await connection.execute(
            "insert into forthwith.periodic_task (task, periodic_id, cron, queue)"
            " values ('tick', 'p', %s, 'default')",
            [cron],
        )

    async def test_every_field(
        self, desk: Desk, connection: Connection, worker: VirtualWorker
    ) -> None:
        await self.add(connection)
        [job_id] = await defer(connection, new_job(task="tick"))
        await worker.succeed(*await worker.claim())
        await connection.execute(
            "insert into forthwith.periodic_defer values ('tick', 'p', 1700000000, 1),"
            " ('tick', 'p', 1700000300, %s)",
            [job_id],
        )
        [periodic] = await desk.periodic()
        assert (periodic.task, periodic.periodic_id) == ("tick", "p")
        assert (periodic.cron, periodic.queue, periodic.paused_at) == (
            "*/5 * * * *",
            "default",
            None,
        )
        assert periodic.last_at == datetime.datetime.fromtimestamp(1700000300, datetime.UTC)
        assert (periodic.last_job_id, periodic.last_status) == (job_id, "succeeded")
        assert periodic.next_at is not None
        assert now() - HOUR < periodic.next_at <= now() + datetime.timedelta(minutes=5)
        assert (periodic.next_at.minute % 5, periodic.next_at.second) == (0, 0)
        assert abs(periodic.seen_at - now()) < HOUR

    async def test_pause_and_resume(self, desk: Desk, connection: Connection) -> None:
        await self.add(connection)
        assert await desk.pause_periodic("tick", "p")
        assert not await desk.pause_periodic("tick", "p")
        assert (await desk.periodic())[0].paused_at is not None
        assert await desk.resume_periodic("tick", "p")
        assert not await desk.resume_periodic("tick", "p")
        assert (await desk.periodic())[0].paused_at is None
        with pytest.raises(InvalidArgument, match="no worker knows a periodic task"):
            await desk.pause_periodic("tick", "another")

    async def test_never_ran_and_unreadable(self, desk: Desk, connection: Connection) -> None:
        await self.add(connection, cron="when the moon is full")
        [periodic] = await desk.periodic()
        assert (periodic.next_at, periodic.last_at, periodic.last_status) == (None, None, None)

    async def test_run_now_of_a_task_of_ours(self, desk: Desk, app: forthwith.App) -> None:
        @app.periodic(cron="0 0 * * *", periodic_id="p", queue="nightly", task_kwargs={"n": 1})
        @app.task(name="tick")
        async def tick(timestamp: int, n: int) -> None: ...

        view = await desk.job(await desk.run_periodic_now("tick", "p"))
        assert view is not None
        assert (view.job.task, view.job.queue) == ("tick", "nightly")
        assert view.args["n"] == 1
        assert abs(view.args["timestamp"] - now().timestamp()) < 3600

    async def test_run_now_of_a_task_of_others(self, desk: Desk, connection: Connection) -> None:
        await self.add(connection)
        first = await desk.job(await desk.run_periodic_now("tick", "p"))
        assert first is not None
        assert (first.job.queue, first.job.priority) == ("default", 0)
        [last] = await defer(
            connection, new_job(task="tick", queue="q", lock="L", priority=3, args='{"n": 1}')
        )
        await connection.execute(
            "insert into forthwith.periodic_defer values ('tick', 'p', 1700000000, %s)", [last]
        )
        view = await desk.job(await desk.run_periodic_now("tick", "p"))
        assert view is not None
        assert (view.job.queue, view.job.lock, view.job.priority) == ("q", "L", 3)
        assert view.args.keys() == {"n", "timestamp"}


async def test_locks(desk: Desk, connection: Connection, worker: VirtualWorker) -> None:
    long = await defer(connection, *[new_job(lock="long") for _ in range(4)])
    short = await defer(connection, *[new_job(lock="short", queue="q") for _ in range(2)])
    [alone] = await defer(connection, new_job(lock="alone", queue="q"))
    await worker.claim(queues=["default"])
    await worker.look()
    deferred_at = {job.id: job.deferred_at for job in (await desk.jobs()).jobs}
    first, second, third = await desk.locks()
    assert (first.lock, first.holder_id, first.holder_status) == ("long", long[0], "doing")
    assert (first.waiting, first.oldest_waiting_at) == (3, deferred_at[long[1]])
    assert (second.lock, second.holder_id, second.holder_status) == ("short", short[0], "todo")
    assert (second.waiting, second.oldest_waiting_at) == (1, deferred_at[short[1]])
    assert (third.lock, third.holder_id, third.waiting) == ("alone", alone, 0)
    assert third.oldest_waiting_at is None
    assert all(lock.is_exact for lock in (first, second, third))


class TestErrors:
    async def test_every_field(
        self, desk: Desk, connection: Connection, worker: VirtualWorker
    ) -> None:
        first, *_, last = await defer(connection, *[new_job(task="bad") for _ in range(3)])
        await worker.fail(*await worker.claim())
        await defer(connection, new_job(task="worse"))
        await worker.retry(*await worker.claim())
        [bad, worse] = await desk.error_groups()
        assert (bad.task, bad.kind, bad.exception_type) == ("bad", "failed", "ValueError")
        assert (bad.message, bad.count, bad.is_exact) == ("went wrong", 3, True)
        assert first <= bad.last_job_id <= last
        assert bad.first_at <= bad.last_at <= worse.last_at
        assert (worse.task, worse.count) == ("worse", 1)

    async def test_only_of_late(
        self, desk: Desk, connection: Connection, worker: VirtualWorker
    ) -> None:
        await defer(connection, new_job())
        await worker.fail(*await worker.claim())
        await connection.execute(
            "insert into forthwith.failed_attempt (job_id, at, attempt, kind, message)"
            " values (1, now() - interval '2 hours', 1, 'crashed', E'line one\\nline two')"
        )
        assert [group.kind for group in await desk.error_groups()] == ["failed"]
        groups = {group.kind: group for group in await desk.error_groups(3 * 3600)}
        assert groups.keys() == {"failed", "crashed"}
        assert groups["crashed"].message == "line one"
        assert groups["crashed"].exception_type is None

    async def test_too_many_to_read(
        self, desk: Desk, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("forthwith.operations.error_groups.ATTEMPTS_MAX", 10)
        await connection.execute(
            "insert into forthwith.failed_attempt (job_id, at, attempt, kind)"
            " select 1, now() - number * interval '1 minute', 1, 'failed' from generate_series(1, 50) number"
        )
        [group] = await desk.error_groups()
        assert group.count == 3  # of the last 225 seconds, a sixteenth of the hour
        assert not group.is_exact
        assert group.task is None


class TestHistory:
    async def test_every_field(self, desk: Desk, connection: Connection) -> None:
        outcomes = {"succeeded": 8, "failed": 1, "retried": 2, "aborted": 3, "crashed": 4}
        for outcome, attempts in outcomes.items():
            await tally(connection, outcome=outcome, attempts=attempts, run_s=9.0, wait_s=1.8)
        await tally(connection, outcome="released", attempts=900, run_s=0.0, wait_s=0.0)
        points = await desk.history()
        [point] = [point for point in points if point.ended]
        assert {name: getattr(point, name) for name in outcomes} == outcomes
        assert point.ended == 18
        assert point.run_mean_s == pytest.approx(45 / 18)
        assert point.wait_mean_s == pytest.approx(9 / 18)
        assert (point.at.second, point.step_s) == (0, 60)
        assert abs(now() - point.at - datetime.timedelta(minutes=2)) < datetime.timedelta(minutes=2)
        steps = {later.at - earlier.at for earlier, later in itertools.pairwise(points)}
        assert steps == {datetime.timedelta(minutes=1)}
        assert all(other.run_mean_s is None for other in points if other is not point)

    async def test_of_a_queue_and_a_task(self, desk: Desk, connection: Connection) -> None:
        await tally(connection, queue="a", task="t", attempts=1)
        await tally(connection, queue="b", task="t", attempts=2)
        await tally(connection, queue="b", task="u", attempts=4)

        async def ended(**chosen: str) -> int:
            return sum(point.ended for point in await desk.history(**chosen))  # type: ignore[arg-type]

        assert await ended() == 7
        assert await ended(queue="b") == 6
        assert await ended(task="t") == 3
        assert await ended(queue="b", task="u") == 4

    async def test_of_long_ago_in_longer_steps(self, desk: Desk, connection: Connection) -> None:
        await tally(connection, minutes_ago=5 * 60, attempts=3)
        points = await desk.history(24 * 3600)
        assert len(points) <= 181
        assert {point.step_s for point in points} == {480}
        assert sum(point.ended for point in points) == 3

    def test_steps_are_whole_minutes(self) -> None:
        assert [step_for(s) for s in (60, 3600, 3 * 3600, 3 * 3600 + 1, 86400)] == [
            *(60, 60, 60, 120, 480)
        ]


async def test_questions_change_nothing(desk: Desk, connection: Connection) -> None:
    with pytest.raises(Exception, match="read-only"):
        async with desk._queries.question() as question:
            await question.rows("pause_periodic", task="t", periodic_id="")
    assert await desk.workers() == []  # and the connection is as it was


async def test_connections_are_few_and_named(desk: Desk, connection: Connection) -> None:
    await desk.overview()
    cursor = await connection.execute(
        "select count(*) from pg_stat_activity where datname = current_database()"
        " and application_name = 'forthwith desk'"
    )
    [(count,)] = await cursor.fetchall()
    assert 1 <= count <= 4


async def test_slow_question_is_given_up(desk: Desk, connection: Connection) -> None:
    async with connection.transaction():
        await connection.execute("lock table forthwith.worker in access exclusive mode")
        with pytest.raises(DatabaseUnavailable):
            await desk.workers()
    assert await desk.workers() == []


def test_app_without_postgresql_is_refused() -> None:
    from procrastinate.testing import InMemoryConnector

    with pytest.raises(InvalidArgument, match="app: has no PostgreSQL"):
        Desk(forthwith.App(connector=InMemoryConnector()))


async def test_it_survives_the_loss_of_its_connections(desk: Desk, connection: Connection) -> None:
    await desk.overview()
    await connection.execute(
        "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
        " where application_name = 'forthwith desk' and datname = current_database()"
    )
    for _ in range(6):
        try:
            assert await desk.workers() == []
        except DatabaseUnavailable:
            continue
        break
    else:
        pytest.fail("none of six questions was answered")
