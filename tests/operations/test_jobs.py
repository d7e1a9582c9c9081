"""Finding jobs among others, and all that is told of one."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.errors import InvalidArgument
from forthwith.operations import STATUSES, Desk, JobFilter, JobPage
from forthwith.operations import jobs as jobs_module
from forthwith.operations import search as search_module
from tests.store.virtual_worker import VirtualWorker, defer, new_job, rescue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    Connection = psycopg.AsyncConnection[Any]
    MakeWorker = Callable[..., Awaitable[VirtualWorker]]

HOUR = datetime.timedelta(hours=1)
HOSTILE = [
    "<script>alert(1)</script>",
    'it\'s "quoted" \\ %s %(id)s {x}',
    "x" * 128,
    "naïve 🐘 emoji ‮ rtl",
    "'; drop table forthwith.job; --",
    " ",
]


def now() -> datetime.datetime:
    """Return the time."""
    return datetime.datetime.now(tz=datetime.UTC)


def ids_of(page: JobPage) -> list[int]:
    """Return the ids of a page."""
    return [job.id for job in page.jobs]


async def all_ids(desk: Desk, wanted: JobFilter, *, limit: int = 50) -> list[int]:
    """Return the ids of all pages of a filter."""
    found, after = [], None
    while True:
        page = await desk.jobs(wanted, limit=limit, after=after)
        assert len(page.jobs) <= limit
        found += ids_of(page)
        after = page.next_cursor
        if after is None:
            assert page.is_complete
            return found


async def test_every_field_of_a_line(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    at = now() + HOUR
    before = now()
    [job_id] = await defer(
        connection,
        new_job(
            queue="q",
            task="t",
            priority=7,
            args='{"a": [1, null, "é"]}',
            lock="L",
            queueing_lock="Q",
            scheduled_at=at,
        ),
    )
    [job] = (await desk.jobs()).jobs
    assert job.id == job_id
    assert (job.status, job.state) == ("todo", "scheduled")
    assert (job.queue, job.task, job.priority) == ("q", "t", 7)
    assert job.args == {"a": [1, None, "é"]}
    assert job.args_bytes == len('{"a": [1, null, "é"]}'.encode())
    assert (job.lock, job.queueing_lock) == ("L", "Q")
    assert (job.attempts, job.crashes, job.worker_id) == (0, 0, None)
    assert before - datetime.timedelta(minutes=1) < job.deferred_at < now() + HOUR
    assert job.scheduled_at == at
    assert (job.started_at, job.finished_at, job.abort_requested) == (None, None, False)

    [other_id] = await defer(connection, new_job())
    await worker.fail(*await worker.claim())
    [failed] = (await desk.jobs(JobFilter(status="failed"))).jobs
    assert failed.id == other_id
    assert (failed.status, failed.state) == ("failed", "failed")
    assert (failed.attempts, failed.worker_id) == (1, worker.worker_id)
    assert failed.started_at is not None
    assert failed.finished_at is not None
    assert failed.deferred_at <= failed.started_at <= failed.finished_at


async def test_large_arguments_are_left_out_of_lists(desk: Desk, connection: Connection) -> None:
    text = "x" * 5000
    [job_id] = await defer(connection, new_job(args=f'{{"text": "{text}"}}'))
    [job] = (await desk.jobs()).jobs
    assert job.args is None
    assert job.args_bytes > 5000
    view = await desk.job(job_id)
    assert view is not None
    assert view.args == {"text": text}


async def make_all_states(
    connection: Connection, make_worker: MakeWorker
) -> tuple[VirtualWorker, dict[str, int]]:
    """Make a job in every state; return the worker that runs one, and the ids."""
    dead, worker = await make_worker(lease_s=0.01), await make_worker()
    [suspect] = await defer(connection, new_job(crashes_max=2))
    await dead.claim()
    await rescue(connection, dead.worker_id)
    ended = await defer(connection, *[new_job() for _ in range(4)])
    claimed = await worker.claim()
    await worker.succeed(claimed[0])
    await worker.fail(claimed[1])
    await worker.abort(claimed[2])
    ready, blocked, scheduled, due = await defer(
        connection,
        new_job(lock="L"),
        new_job(lock="L"),
        new_job(scheduled_at=now() + HOUR),
        new_job(scheduled_at=now() + HOUR),
    )
    await worker.look()
    await connection.execute(
        "update forthwith.job set scheduled_at = now() - interval '1 s' where id = %s", [due]
    )
    names = (
        "succeeded",
        "failed",
        "aborted",
        "running",
        "suspect",
        "ready",
        "blocked",
        "scheduled",
        "due",
    )
    ids = [*ended, suspect, ready, blocked, scheduled, due]
    return worker, dict(zip(names, ids, strict=True))


async def test_every_status(desk: Desk, connection: Connection, make_worker: MakeWorker) -> None:
    _, ids = await make_all_states(connection, make_worker)
    meant = {
        "todo": ("suspect", "ready", "blocked", "scheduled", "due"),
        "ready": ("suspect", "ready", "due"),
        "scheduled": ("scheduled",),
        "blocked": ("blocked",),
        "doing": ("running",),
        "running": ("running",),
        "succeeded": ("succeeded",),
        "failed": ("failed",),
        "cancelled": (),
        "aborted": ("aborted",),
    }
    assert meant.keys() == set(STATUSES)
    for status, names in meant.items():
        expected = sorted((ids[name] for name in names), reverse=True)
        assert await all_ids(desk, JobFilter(status=status)) == expected, status
        assert await all_ids(desk, JobFilter(status=status), limit=1) == expected, status
    assert await all_ids(desk, JobFilter()) == sorted(ids.values(), reverse=True)


ENDED = ("aborted", "failed", "succeeded")


async def test_ended_goes_by_the_end_whenever_a_job_was_deferred(
    desk: Desk, connection: Connection, make_worker: MakeWorker
) -> None:
    _, ids = await make_all_states(connection, make_worker)
    await connection.execute(
        "update forthwith.finished_job set deferred_at = now() - interval '9 days'"
    )
    assert await all_ids(desk, JobFilter(ended_after=now() - HOUR)) == [ids[name] for name in ENDED]
    preview = await desk.preview("cancel", JobFilter(ended_after=now() - HOUR))
    assert (preview.count, preview.is_exact) == (0, True)
    wanted = JobFilter(status="failed", ended_after=now() - HOUR)
    assert (await desk.apply("retry", wanted, expected_max=9)).done == 1


async def test_every_condition(desk: Desk, connection: Connection, make_worker: MakeWorker) -> None:
    worker, ids = await make_all_states(connection, make_worker)
    [other] = await defer(
        connection, new_job(queue="other", task="t", args='{"to": "Ada \\"x\\" <a@b>"}')
    )
    expected: dict[JobFilter, list[int]] = {
        JobFilter(queue="other"): [other],
        JobFilter(queue="nowhere"): [],
        JobFilter(task="t"): [other],
        JobFilter(lock="L"): [ids["blocked"], ids["ready"]],
        JobFilter(lock="L", status="blocked"): [ids["blocked"]],
        JobFilter(lock="L", status="ready"): [ids["ready"]],
        JobFilter(lock="none"): [],
        JobFilter(worker_id=worker.worker_id): [
            ids[name] for name in ("running", "aborted", "failed", "succeeded")
        ],
        JobFilter(worker_id=worker.worker_id, status="running"): [ids["running"]],
        JobFilter(text="ADA"): [other],
        JobFilter(text='"x"'): [other],
        JobFilter(text='"to": "Ada'): [other],
        JobFilter(text="%"): [],
        JobFilter(error="ValueError"): [ids["aborted"], ids["failed"]],
        JobFilter(error="ValueError", status="failed"): [ids["failed"]],
        JobFilter(error="WorkerDied"): [ids["suspect"]],
        JobFilter(error="KeyError"): [],
        JobFilter(deferred_after=now() + HOUR): [],
        JobFilter(deferred_before=now() - HOUR): [],
        JobFilter(queue="other", deferred_after=now() - HOUR, deferred_before=now() + HOUR): [
            other
        ],
        JobFilter(ended_after=now() - HOUR): [ids[name] for name in ENDED],
        JobFilter(ended_after=now() - HOUR, status="failed"): [ids["failed"]],
        JobFilter(ended_after=now() - HOUR, status="todo"): [],
        JobFilter(ended_after=now() - HOUR, error="WorkerDied"): [],
        JobFilter(ended_after=now() - HOUR, error="ValueError"): [ids["aborted"], ids["failed"]],
        JobFilter(ended_after=now() + HOUR): [],
        JobFilter(ended_after=now() + HOUR, status="failed"): [],
        JobFilter(ended_after=now() + HOUR, error="ValueError"): [],
    }
    for wanted, found in expected.items():
        assert await all_ids(desk, wanted) == found, wanted


async def test_deferral_times_cut_exactly(desk: Desk, connection: Connection) -> None:
    ids = await defer(connection, *[new_job() for _ in range(3)])
    newest, middle, _ = (await desk.jobs()).jobs
    assert await all_ids(desk, JobFilter(deferred_before=middle.deferred_at)) == [ids[0]]
    assert await all_ids(desk, JobFilter(deferred_after=newest.deferred_at)) == [ids[2]]


async def test_pages_of_live_and_finished_jobs_follow_the_ids(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    ids = await defer(connection, *[new_job() for _ in range(300)])
    claimed = await worker.claim(300)
    await worker.succeed(*claimed[::3])
    await worker.fail(*claimed[1::3])
    await worker.release(*claimed[2::3])
    assert await all_ids(desk, JobFilter(), limit=7) == ids[::-1]
    assert await all_ids(desk, JobFilter(status="failed"), limit=100) == ids[1::3][::-1]


async def test_budget_ends_a_page_before_it_is_full(
    desk: Desk, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs_module, "ROWS_MAX", 10)
    monkeypatch.setattr(search_module, "FIRST_LOOK", 10)
    monkeypatch.setattr(search_module, "CANDIDATES_MAX", 10)
    first, *_ = await defer(
        connection, new_job(task="rare"), *[new_job(task="usual") for _ in range(45)]
    )
    page = await desk.jobs(JobFilter(task="rare"))
    assert page.jobs == []
    assert not page.is_complete
    assert page.next_cursor is not None
    assert page.looked_back_to is not None
    assert await all_ids(desk, JobFilter(task="rare")) == [first]
    assert await all_ids(desk, JobFilter(queue="default", task="rare")) == [first]


async def test_a_full_page_is_complete(desk: Desk, connection: Connection) -> None:
    ids = await defer(connection, *[new_job() for _ in range(5)])
    page = await desk.jobs(limit=2)
    assert ids_of(page) == ids[:2:-1]
    assert page.is_complete
    assert page.looked_back_to == page.jobs[-1].deferred_at
    last = await desk.jobs(limit=2, after=str(ids[1]))
    assert ids_of(last) == [ids[0]]
    assert last.next_cursor is None


async def test_hostile_names_come_back_as_they_are(desk: Desk, connection: Connection) -> None:
    for name in HOSTILE:
        await defer(connection, *[new_job(queue=name, task=name, lock=name)] * 2)
        for wanted in (JobFilter(queue=name), JobFilter(task=name), JobFilter(lock=name)):
            page = await desk.jobs(wanted)
            assert [(job.queue, job.task, job.lock) for job in page.jobs] == [(name,) * 3] * 2
        view = await desk.job(page.jobs[0].id)
        assert view is not None
        assert f"no worker listens to queue {name!r}" in view.waits_for
        assert (await desk.preview("cancel", JobFilter(queue=name))).count == 2
        assert await desk.pause_queue(name)
    assert {queue.name for queue in await desk.queues() if queue.paused_at} == set(HOSTILE)
    assert set(HOSTILE) <= {task.name for task in await desk.tasks()}
    assert {lock.lock for lock in await desk.locks()} == set(HOSTILE)


async def test_arguments_that_json_cannot_hold_do_not_hide_the_rest(
    desk: Desk, connection: Connection
) -> None:
    ids = await defer(connection, new_job(), new_job())
    huge = f'{{"n": {"9" * 5000}}}'
    await connection.execute("update forthwith.job set args = %s where id = %s", [huge, ids[0]])
    assert ids_of(await desk.jobs()) == ids[::-1]
    view = await desk.job(ids[0])
    assert view is not None
    assert "unreadable" in view.args


BAD_CALLS: list[tuple[str, Callable[[Desk], Awaitable[Any]]]] = [
    ("limit", lambda desk: desk.jobs(limit=0)),
    ("limit", lambda desk: desk.jobs(limit=1001)),
    ("limit", lambda desk: desk.jobs(limit="5")),
    ("after", lambda desk: desk.jobs(after="-1")),
    ("after", lambda desk: desk.jobs(after="x")),
    ("after", lambda desk: desk.jobs(after=5)),
    ("after", lambda desk: desk.jobs(after="9" * 30)),
    ("after", lambda desk: desk.jobs(after="²")),
    ("filter", lambda desk: desk.jobs({"queue": "x"})),
    ("job_id", lambda desk: desk.job(0)),
    ("job_id", lambda desk: desk.job(2**63)),
    ("within_s", lambda desk: desk.error_groups(0)),
    ("within_s", lambda desk: desk.error_groups(10**9)),
    ("within_s", lambda desk: desk.history(10**9)),
    ("queue", lambda desk: desk.history(queue="")),
    ("task", lambda desk: desk.history(task="\0")),
    ("task", lambda desk: desk.pause_periodic("")),
    ("periodic_id", lambda desk: desk.pause_periodic("x", 3)),
    ("task", lambda desk: desk.run_periodic_now("nobody.knows")),
    ("queue", lambda desk: desk.pause_queue("")),
]


async def test_bad_arguments(desk: Desk) -> None:
    for argument, call in BAD_CALLS:
        with pytest.raises(InvalidArgument) as caught:
            await call(desk)
        assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("status", "waiting"),
        ("status", 3),
        ("queue", ""),
        ("queue", "x" * 129),
        ("task", 1),
        ("lock", "x" * 513),
        ("worker_id", "1"),
        ("deferred_after", datetime.datetime(2030, 1, 1)),  # noqa: DTZ001
        ("deferred_before", "yesterday"),
        ("text", ""),
        ("text", "\0"),
        ("error", "\ud800"),
    ],
)
def test_bad_filters(argument: str, value: Any) -> None:
    with pytest.raises(InvalidArgument) as caught:
        JobFilter(**{argument: value})
    assert caught.value.argument == argument


class TestView:
    async def test_of_a_job_that_failed(
        self, desk: Desk, connection: Connection, worker: VirtualWorker
    ) -> None:
        [job_id] = await defer(connection, new_job(args='{"n": 1}'))
        await worker.retry(*await worker.claim())
        await worker.fail(*await worker.claim())
        view = await desk.job(job_id)
        assert view is not None
        assert view.job.status == "failed"
        assert view.args == {"n": 1}
        assert view.crashes_max == 3
        assert [(each.attempt, each.kind) for each in view.attempts] == [
            (1, "failed"),
            (2, "failed"),
        ]
        assert view.attempts[0].traceback == "Traceback: went wrong"
        assert [event.kind for event in view.timeline] == [
            *("deferred", "failed", "claimed", "failed", "failed")
        ]
        assert view.timeline[1].text == "attempt 1 failed: ValueError: went wrong"
        assert view.timeline[1].attempt == 1
        assert view.timeline[2].worker_id == worker.worker_id
        *before, end = view.timeline
        assert before == sorted(before, key=lambda event: event.at)
        assert (end.kind, end.text, end.at) == ("failed", "failed", view.job.finished_at)
        assert (view.waits_for, view.progress, view.result, view.traceparent) == (
            [],
            None,
            None,
            None,
        )

    async def test_of_a_running_one_with_progress(
        self, desk: Desk, connection: Connection, worker: VirtualWorker
    ) -> None:
        [job_id] = await defer(connection, new_job())
        await worker.claim()
        await connection.execute(
            "insert into forthwith.progress (job_id, done, total, note) values (%s, 3, 10, 'third')",
            [job_id],
        )
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        await connection.execute(
            "insert into forthwith.job_trace (job_id, traceparent) values (%s, %s)", [job_id, trace]
        )
        view = await desk.job(job_id)
        assert view is not None
        assert view.progress is not None
        assert (view.progress.done, view.progress.total, view.progress.note) == (3, 10, "third")
        assert view.progress.at.tzinfo is not None
        assert view.traceparent == trace
        assert view.waits_for == []
        assert view.timeline[-1].kind == "claimed"
        assert view.timeline[-1].attempt == 1

    async def test_with_a_result(
        self, desk: Desk, connection: Connection, worker: VirtualWorker
    ) -> None:
        kept, expired = await defer(connection, new_job(), new_job())
        await worker.succeed(*await worker.claim())
        await connection.execute(
            "insert into forthwith.result values (%s, now() + interval '1 hour', '[1, \"x\"]'),"
            " (%s, now() - interval '1 second', 'null')",
            [kept, expired],
        )
        view = await desk.job(kept)
        assert view is not None
        assert view.result is not None
        assert view.result.value == [1, "x"]
        assert view.result.expires_at > now()
        other = await desk.job(expired)
        assert other is not None
        assert other.result is None

    async def test_of_none(self, desk: Desk) -> None:
        assert await desk.job(123) is None


class TestWaitsFor:
    async def sentences(self, desk: Desk, job_id: int) -> list[str]:
        """Return what a job waits for."""
        view = await desk.job(job_id)
        assert view is not None
        return view.waits_for

    async def test_workers(
        self, desk: Desk, connection: Connection, make_worker: MakeWorker
    ) -> None:
        [job_id] = await defer(connection, new_job(queue="mail", task="mystery"))
        turn, nobody = "ready: next in its queue", "no worker listens to queue 'mail'"
        then = "then next in its queue"
        assert await self.sentences(desk, job_id) == [nobody, then]
        await make_worker()
        assert await self.sentences(desk, job_id) == [turn]
        changes = {
            "queues = '{other}'": [nobody, then],
            "queues = '{mail}'": [turn],
            "tasks = '{work}'": ["no worker knows the task 'mystery'", then],
            "tasks = '{work,mystery}'": [turn],
            "lease_expires_at = clock_timestamp() - interval '1 s'": [nobody, then],
        }
        for change, expected in changes.items():
            await connection.execute(f"update forthwith.worker set {change}".encode())  # noqa: S608
            assert await self.sentences(desk, job_id) == expected, change

    @pytest.mark.usefixtures("worker")
    async def test_time_pause_and_queue(self, desk: Desk, connection: Connection) -> None:
        at = datetime.datetime(2100, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
        [later] = await defer(connection, new_job(scheduled_at=at))
        assert await self.sentences(desk, later) == ["due at 2100-01-02 03:04:05 UTC"]
        ids = await defer(connection, *[new_job() for _ in range(1100)])
        assert await self.sentences(desk, ids[3]) == ["ready: behind 3 jobs of its queue"]
        assert await self.sentences(desk, ids[-1]) == [
            "ready: behind more than 1,000 jobs of its queue"
        ]
        await desk.pause_queue("default")
        [paused, turn] = await self.sentences(desk, ids[0])
        assert paused.startswith("queue 'default' is paused since 20")
        assert turn == "then next in its queue"
        assert (await self.sentences(desk, ids[1]))[1] == "then behind 1 job of its queue"

    async def test_lock(self, desk: Desk, connection: Connection, worker: VirtualWorker) -> None:
        first, second, third = await defer(connection, *[new_job(lock="x") for _ in range(3)])
        await worker.look()
        assert await self.sentences(desk, second) == [
            f"behind job {first} (waiting in queue 'default') under lock 'x'"
        ]
        await worker.claim()
        assert await self.sentences(desk, third) == [
            f"behind job {first} (running on worker {worker.worker_id}) and 1 more under lock 'x'"
        ]

    async def test_suspect(
        self, desk: Desk, connection: Connection, make_worker: MakeWorker
    ) -> None:
        _, ids = await make_all_states(connection, make_worker)
        [sentence] = await self.sentences(desk, ids["suspect"])
        assert sentence.startswith("suspect: its worker died; it runs alone")
