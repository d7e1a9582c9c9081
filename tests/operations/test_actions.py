"""What an operator does to jobs: to which of them, and that lines and queues go on."""

from __future__ import annotations

import asyncio
import datetime
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.errors import InvalidArgument
from forthwith.operations import ActionResult, Desk, JobFilter, Skipped
from forthwith.store.statements import statements
from tests.store.virtual_worker import VirtualWorker, defer, new_job, states, status

if TYPE_CHECKING:
    import psycopg

    import forthwith

    Connection = psycopg.AsyncConnection[Any]

HOUR = datetime.timedelta(hours=1)
RUNS = "running: abort it first"


def now() -> datetime.datetime:
    """Return the time."""
    return datetime.datetime.now(tz=datetime.UTC)


async def one_of_each(connection: Connection, worker: VirtualWorker) -> dict[str, int]:
    """Make a job in every state; return their ids."""
    ended = await defer(connection, *[new_job(task=f"work-{n}") for n in range(4)])
    claimed = await worker.claim()
    await worker.succeed(claimed[0])
    await worker.fail(claimed[1])
    await worker.abort(claimed[2])
    # The fourth runs.
    waiting = await defer(
        connection,
        new_job(lock="L"),
        new_job(lock="L"),
        new_job(scheduled_at=now() + HOUR),
        new_job(task="cancelled"),
    )
    await worker.look()
    cancelled = waiting[3]
    await connection.execute(
        "with gone as (delete from forthwith.job where id = %s returning *)"
        " insert into forthwith.finished_job (id, lease_token, deferred_at, priority, attempts, status,"
        " crashes, crashes_max, abort_requested, queue, task, args)"
        " select id, lease_token, deferred_at, priority, attempts, 'cancelled', crashes, crashes_max,"
        " abort_requested, queue, task, args from gone",
        [cancelled],
    )
    names = (
        "succeeded",
        "failed",
        "aborted",
        "running",
        "ready",
        "blocked",
        "scheduled",
        "cancelled",
    )
    return dict(zip(names, [*ended, *waiting], strict=True))


def by_reason(result: ActionResult) -> dict[str, int]:
    """Return what was skipped."""
    return {skipped.reason: skipped.count for skipped in result.skipped}


async def test_retry(desk: Desk, connection: Connection, worker: VirtualWorker) -> None:
    ids = await one_of_each(connection, worker)
    result = await desk.retry([*ids.values(), 999_999])
    assert result.action == "retry"
    assert result.done == 3
    assert by_reason(result) == {
        "waiting already": 3,
        "succeeded": 1,
        RUNS: 1,
        "not there": 1,
    }
    assert result.is_complete
    for name in ("failed", "aborted", "cancelled"):
        assert await status(connection, ids[name]) == "todo"
    assert await status(connection, ids["succeeded"]) == "succeeded"
    assert await status(connection, ids["running"]) == "doing"


async def test_preview_of_jobs_says_what_would_be_done_to_them(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    ids = await one_of_each(connection, worker)
    preview = await desk.preview_of("retry", [*ids.values(), 999_999])
    assert (preview.action, preview.count, preview.is_exact) == ("retry", 3, True)
    fitting = [ids[name] for name in ("failed", "aborted", "cancelled")]
    assert [job.id for job in preview.sample] == sorted(fitting, reverse=True)
    result = await desk.retry([*ids.values(), 999_999])
    assert (result.done, result.skipped) == (preview.count, preview.skipped)
    with pytest.raises(InvalidArgument, match="ids"):
        await desk.preview_of("retry", [0])


async def test_cancel_advances_the_line(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    ids = await one_of_each(connection, worker)
    result = await desk.cancel([ids["ready"], ids["running"], ids["failed"]])
    assert result.done == 1
    assert by_reason(result) == {"running: abort it instead": 1, "finished": 1}
    assert await status(connection, ids["ready"]) == "cancelled"
    assert (await states(connection))[ids["blocked"]] == "ready"


async def test_cancel_of_a_whole_line(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    ids = await defer(connection, *[new_job(lock="L") for _ in range(30)])
    await worker.look()
    result = await desk.cancel(ids[:20])
    assert result.done == 20
    left = await states(connection)
    assert left == {job_id: "ready" if job_id == ids[20] else "blocked" for job_id in ids[20:]}


async def test_abort(desk: Desk, connection: Connection, worker: VirtualWorker) -> None:
    ids = await one_of_each(connection, worker)
    result = await desk.abort(list(ids.values()))
    assert result.done == 1
    assert by_reason(result) == {"waiting: cancel it instead": 3, "finished": 4}
    view = await desk.job(ids["running"])
    assert view is not None
    assert view.job.abort_requested
    assert view.job.status == "doing"
    assert (await states(connection)).keys() == {
        ids[name] for name in ("running", "ready", "blocked", "scheduled")
    }


async def test_reschedule_for_later(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    ids = await one_of_each(connection, worker)
    at = now() + 2 * HOUR
    result = await desk.reschedule(list(ids.values()), at)
    assert result.done == 3
    assert by_reason(result) == {"running": 1, "finished: retry it instead": 4}
    found = {job.id: job for job in (await desk.jobs(JobFilter(status="scheduled"))).jobs}
    assert found.keys() == {ids["ready"], ids["blocked"], ids["scheduled"]}
    assert {job.scheduled_at for job in found.values()} == {at}


async def test_reschedule_of_the_head_lets_the_line_go_on(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    ids = await one_of_each(connection, worker)
    assert (await desk.reschedule([ids["ready"]], now() + HOUR)).done == 1
    assert await states(connection) == {
        ids["running"]: "claimed",
        ids["ready"]: "scheduled",
        ids["blocked"]: "ready",
        ids["scheduled"]: "scheduled",
    }


async def test_reschedule_for_now(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    plain, locked = await defer(
        connection,
        new_job(scheduled_at=now() + HOUR),
        new_job(scheduled_at=now() + HOUR, lock="M"),
    )
    assert (await desk.reschedule([plain, locked], now() - HOUR)).done == 2
    assert await states(connection) == {plain: "ready", locked: "arrived"}
    assert [job.id for job in await worker.claim()] == [plain, locked]


async def test_delete(desk: Desk, connection: Connection, worker: VirtualWorker) -> None:
    ids = await one_of_each(connection, worker)
    await connection.execute(
        "insert into forthwith.result values (%s, now() + interval '1 hour', '1')",
        [ids["succeeded"]],
    )
    result = await desk.delete(list(ids.values()))
    assert result.done == 7
    assert by_reason(result) == {RUNS: 1}
    assert (await states(connection)).keys() == {ids["running"]}
    cursor = await connection.execute(
        "select (select count(*) from forthwith.finished_job),"
        " (select count(*) from forthwith.failed_attempt), (select count(*) from forthwith.result)"
    )
    assert await cursor.fetchone() == (0, 0, 0)


async def test_deleted_head_lets_the_line_go_on(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    head, behind = await defer(connection, new_job(lock="L"), new_job(lock="L"))
    await worker.look()
    assert (await desk.delete([head])).done == 1
    assert await states(connection) == {behind: "ready"}
    assert await status(connection, head) is None


async def test_cancelled_job_frees_its_queueing_lock(desk: Desk, connection: Connection) -> None:
    [held] = await defer(connection, new_job(queueing_lock="Q"))
    assert (await desk.cancel([held])).done == 1
    assert len(await defer(connection, new_job(queueing_lock="Q"))) == 1


async def test_job_that_somebody_holds_is_left(
    desk: Desk, connection: Connection, other_connection: Connection
) -> None:
    held, free = await defer(connection, new_job(), new_job())
    async with other_connection.transaction():
        await other_connection.execute("select from forthwith.job where id = %s for update", [held])
        result = await desk.cancel([held, free])
    assert result.done == 1
    assert by_reason(result) == {"changed meanwhile, or held by somebody else": 1}
    assert await status(connection, held) == "todo"


async def test_running_job_is_never_taken(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    ids = await defer(connection, *[new_job() for _ in range(3)])
    claimed = await worker.claim()
    for result in (
        await desk.cancel(ids),
        await desk.delete(ids),
        await desk.retry(ids),
        await desk.reschedule(ids, now() + HOUR),
    ):
        assert result.done == 0
    assert await worker.succeed(*claimed) == set(ids)


async def test_preview(desk: Desk, connection: Connection, worker: VirtualWorker) -> None:
    ids = await one_of_each(connection, worker)
    preview = await desk.preview("cancel", JobFilter())
    assert preview.action == "cancel"
    assert preview.count == 3
    assert preview.is_exact
    assert [job.id for job in preview.sample] == sorted(
        (ids["ready"], ids["blocked"], ids["scheduled"]), reverse=True
    )
    assert sorted(preview.skipped, key=lambda skipped: skipped.count) == [
        Skipped(1, "running: abort it instead"),
        Skipped(4, "finished"),
    ]
    assert (await states(connection)).keys() == {
        ids[name] for name in ("running", "ready", "blocked", "scheduled")
    }


async def test_apply_by_filter(desk: Desk, connection: Connection, worker: VirtualWorker) -> None:
    mine = await defer(connection, *[new_job(queue="mine") for _ in range(2_500)])
    others = await defer(connection, *[new_job(queue="other") for _ in range(10)])
    result = await desk.apply("cancel", JobFilter(queue="mine"), expected_max=10_000)
    assert (result.done, result.skipped, result.is_complete) == (2_500, [], True)
    assert list(await states(connection)) == others
    result = await desk.apply("retry", JobFilter(queue="mine"), expected_max=10_000)
    assert (result.done, result.is_complete) == (2_500, True)
    assert sorted(await states(connection)) == mine + others


async def test_apply_stops_at_what_was_expected(desk: Desk, connection: Connection) -> None:
    ids = await defer(connection, *[new_job() for _ in range(20)])
    result = await desk.apply("delete", JobFilter(), expected_max=15)
    assert (result.done, result.is_complete) == (15, False)
    assert list(await states(connection)) == ids[:5]
    result = await desk.apply("delete", JobFilter(), expected_max=5)
    assert (result.done, result.is_complete) == (5, True)


async def test_apply_means_what_the_filter_says_of_the_state(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    ids = await one_of_each(connection, worker)
    result = await desk.apply("delete", JobFilter(status="failed"), expected_max=100)
    assert result.done == 1
    assert await status(connection, ids["failed"]) is None
    assert await status(connection, ids["aborted"]) == "aborted"
    assert len(await states(connection)) == 4


async def test_apply_reschedule(desk: Desk, connection: Connection) -> None:
    ids = await defer(connection, *[new_job(task="late") for _ in range(3)])
    at = now() + HOUR
    result = await desk.apply("reschedule", JobFilter(task="late"), expected_max=10, at=at)
    assert result.done == 3
    assert await states(connection) == dict.fromkeys(ids, "scheduled")


async def test_two_operators_at_once(
    desk: Desk, app: forthwith.App, connection: Connection
) -> None:
    ids = await defer(connection, *[new_job(lock=f"L{n % 7}") for n in range(300)])
    async with Desk(app) as other:
        results = await asyncio.gather(
            desk.apply("cancel", JobFilter(), expected_max=1000),
            other.apply("cancel", JobFilter(), expected_max=1000),
            desk.cancel(ids),
        )
    assert sum(result.done for result in results) == 300
    assert await states(connection) == {}


async def test_one_batch_at_a_time(
    desk: Desk, connection: Connection, other_connection: Connection, wait_until: Any
) -> None:
    ids = await defer(connection, *[new_job() for _ in range(3)])

    async def somebody_waits() -> bool:
        cursor = await connection.execute(
            "select count(*) from pg_locks join pg_stat_activity using (pid)"
            " where locktype = 'advisory' and not granted and datname = current_database()"
        )
        return await cursor.fetchone() == (1,)

    async with other_connection.transaction():
        await other_connection.execute(statements()["op_take_turn"])
        cancelling = asyncio.create_task(desk.cancel(ids))
        await wait_until(somebody_waits)
        assert (await states(connection)).keys() == set(ids)
    assert (await cancelling).done == 3


async def test_operator_beside_workers_at_work(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    ids = await defer(connection, *[new_job(lock=f"L{n % 5}") for n in range(400)])
    cancelled = asyncio.create_task(desk.cancel(ids[::2]))
    ran: set[int] = set()
    while True:
        claimed = await worker.claim(7)
        ran |= await worker.succeed(*claimed)
        if not claimed and cancelled.done() and not await states(connection):
            break
    done = (await cancelled).done
    assert done + len(ran) == 400
    assert set(ids[1::2]) <= ran


async def test_rescheduling_beside_workers_strands_nobody(
    desk: Desk, connection: Connection, worker: VirtualWorker
) -> None:
    ids = await defer(connection, *[new_job(lock=f"L{n % 3}") for n in range(60)])

    async def reschedule() -> None:
        for start in range(0, 60, 10):
            await desk.reschedule(ids[start : start + 20], now() + HOUR)
            await desk.reschedule(ids[start + 5 : start + 15], now() - HOUR)
            await desk.retry(ids[start : start + 5])

    rescheduling = asyncio.create_task(reschedule())
    ran: set[int] = set()
    while not rescheduling.done():
        ran |= await worker.succeed(*await worker.claim(3))
    await rescheduling
    await desk.reschedule(ids, now() - HOUR)
    while claimed := await worker.claim():
        ran |= await worker.succeed(*claimed)
    assert await states(connection) == {}
    assert ran == set(ids)


async def test_bad_ids(desk: Desk) -> None:
    bad: list[tuple[str, Any]] = [
        ("ids[1]", [1, 0]),
        ("ids[0]", ["1"]),
        ("ids", "12"),
        ("ids", 7),
        ("ids[0]", [2**63]),
    ]
    for argument, ids in bad:
        with pytest.raises(InvalidArgument) as caught:
            await desk.cancel(ids)
        assert caught.value.argument == argument


async def test_bad_arguments(desk: Desk) -> None:
    naive = datetime.datetime(2030, 1, 1)  # noqa: DTZ001
    bad: dict[str, Any] = {
        "action": lambda: desk.preview("explode", JobFilter()),  # type: ignore[arg-type]
        "filter": lambda: desk.preview("cancel", {"queue": "x"}),  # type: ignore[arg-type]
        "expected_max": lambda: desk.apply("cancel", JobFilter(), expected_max=0),
        "at": lambda: desk.reschedule([1], naive),
    }
    for argument, call in bad.items():
        with pytest.raises(InvalidArgument) as caught:
            await call()
        assert caught.value.argument == argument
    with pytest.raises(InvalidArgument, match="at: is for retry and reschedule alone"):
        await desk.apply("cancel", JobFilter(), expected_max=1, at=now())
