"""What a task returns, kept with its job's completion, and had by whoever waits for it."""

from __future__ import annotations

import asyncio
import datetime
import json
import pickle
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import forthwith
from forthwith.errors import (
    ForthwithError,
    InvalidArgument,
    JobCancelled,
    JobFailed,
    NoResult,
    ResultNotStorable,
)
from forthwith.store.results import Results
from tests.store.virtual_worker import VirtualWorker, observed
from tests.support import ways
from tests.support.workers import run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    WaitFor = Callable[[int], Awaitable[asyncio.Task[Any]]]
    WaitUntil = Callable[..., Awaitable[Any]]

VALUES = [None, True, 0, 1.5, 1e30, 'a "}{ ü', [1, [2]], {"a": {"b": None}}, {}, []]


def declare(app: forthwith.App, **options: Any) -> Any:
    """A task that returns what it is given."""

    @app.task(name="give", keep_result=True, **options)
    async def give(value: Any = None) -> Any:
        return value

    return give


async def listeners(connection: psycopg.AsyncConnection[Any]) -> int:
    cursor = await connection.execute(
        "select from pg_stat_activity where datname = current_database()"
        " and query like 'listen %forthwith_done%'"
    )
    return cursor.rowcount


async def kept(connection: psycopg.AsyncConnection[Any]) -> int:
    return (await connection.execute("select from forthwith.result")).rowcount


async def test_result_comes_back_as_json_keeps_it(app: forthwith.App) -> None:
    give = declare(app)
    ids = await give.batch_defer_async(*({"value": value} for value in VALUES))
    await run_until_idle(app, concurrency=5)
    assert [await app.result(job_id, timeout=30) for job_id in ids] == VALUES


def test_sync_task_and_synchronous_wait(database_url: str) -> None:
    app = forthwith.App(database_url)

    @app.task(keep_result=True)
    def add(one: int, two: int) -> int:
        return one + two

    job_id = add.defer(one=1, two=2)
    app.run_worker(wait=False, install_signal_handlers=False)
    with app.open():
        assert app.get_result(job_id, timeout=30) == 3


async def test_who_waits_is_told_by_a_notification(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    give = declare(app)
    ids = await give.batch_defer_async(*({"value": number} for number in range(20)))
    waiting = asyncio.gather(*(app.result(job_id, timeout=60) for job_id in ids))

    async def all_share_one() -> bool:
        return await listeners(connection) == 1

    await wait_until(all_share_one)
    await run_until_idle(app)
    assert await waiting == list(range(20))

    async def nobody_listens() -> bool:
        return await listeners(connection) == 0

    await wait_until(nobody_listens)


async def test_a_notification_is_sent_for_each_batch_of_ends(
    app: forthwith.App, database_url: str, connection: psycopg.AsyncConnection[Any]
) -> None:
    give = declare(app)

    @app.task(name="plain")
    async def plain() -> None: ...

    @app.task(name="fails", keep_result=True)
    async def fails() -> None:
        raise ValueError

    ids = await give.batch_defer_async(*({"value": number} for number in range(30)))
    await plain.defer_async()
    failed = await fails.defer_async()
    cancelled = await fails.configure(schedule_in={"hours": 1}).defer_async()
    heard: list[int] = []
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as ear:
        await ear.execute("listen forthwith_done")
        await run_until_idle(app, concurrency=10)
        assert await app.job_manager.cancel_job_by_id_async(cancelled)
        async for notification in ear.notifies(timeout=30):
            heard += map(int, notification.payload.split())
            if len(heard) == 32:
                break
    assert sorted(heard) == sorted([*ids, failed, cancelled])


async def test_failed_job_raises_with_its_traceback(app: forthwith.App) -> None:
    @app.task(name="breaks", keep_result=True)
    async def breaks() -> None:
        raise ValueError("what went wrong")

    job_id = await breaks.defer_async()
    await run_until_idle(app)
    with pytest.raises(JobFailed) as caught:
        await app.result(job_id, timeout=30)
    error = caught.value
    assert (error.job_id, error.status) == (job_id, "failed")
    assert (error.exception_type, error.message) == ("ValueError", "what went wrong")
    assert "in breaks" in str(error.traceback)
    assert f"Job {job_id} has failed: ValueError: what went wrong" in str(error)
    assert "Traceback" in str(error)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 -- our own
    assert (str(again), again.job_id, again.traceback) == (str(error), job_id, error.traceback)


async def test_retried_job_is_waited_for(app: forthwith.App) -> None:
    runs: list[int] = []

    @app.task(name="third", keep_result=True, retry=5)
    async def third() -> int:
        runs.append(1)
        if len(runs) < 3:
            raise ValueError
        return len(runs)

    job_id = await third.defer_async()
    waiting = asyncio.create_task(app.result(job_id, timeout=60))
    async with running_worker(app):
        assert await waiting == 3


async def test_cancelled_and_aborted_jobs(app: forthwith.App, wait_until: WaitUntil) -> None:
    started = asyncio.Event()

    @app.task(name="hang", keep_result=True)
    async def hang() -> None:
        started.set()
        await asyncio.Event().wait()

    one, two = await hang.batch_defer_async({}, {})
    await app.job_manager.cancel_job_by_id_async(one)
    with pytest.raises(JobCancelled, match="was cancelled"):
        await app.result(one, timeout=30)
    async with running_worker(app):
        await started.wait()
        await app.job_manager.cancel_job_by_id_async(two, abort=True)
        with pytest.raises(JobFailed, match="was aborted") as caught:
            await app.result(two, timeout=30)
    assert caught.value.status == "aborted"


async def test_what_is_not_there_has_no_result(app: forthwith.App) -> None:
    @app.task(name="plain")
    async def plain() -> int:
        return 1

    job_id = await plain.defer_async()
    await run_until_idle(app)
    with pytest.raises(NoResult, match="keep_result"):
        await app.result(job_id, timeout=30)
    with pytest.raises(NoResult, match="no job"):
        await app.result(999_999, timeout=30)


async def test_expired_result_is_none(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any]
) -> None:
    job_id = await declare(app, result_ttl=0.001).defer_async(value=1)
    await run_until_idle(app)
    with pytest.raises(NoResult, match="expired"):
        await app.result(job_id, timeout=30)
    assert await kept(connection) == 1  # the pruner has not been here yet


async def test_timeout(app: forthwith.App) -> None:
    job_id = await declare(app).defer_async(value=1)
    with pytest.raises(TimeoutError, match=rf"Job {job_id} has not ended within 0\.2 s"):
        await app.result(job_id, timeout=0.2)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("object", "object cannot be stored"),
        ("nan", "finite"),
        ("huge", "more than 1048576 bytes"),
        ("nul", "NUL"),
        ("keys", "keys must be strings"),
    ],
)
async def test_what_cannot_be_kept_fails_the_job(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], value: str, problem: str
) -> None:
    values = {
        "object": object(),
        "nan": float("nan"),
        "huge": "x" * 2**20,
        "nul": ["a\0b"],
        "keys": {1: 2},
    }

    @app.task(name="mail.odd", keep_result=True)
    async def odd() -> Any:
        return values[value]

    job_id = await odd.defer_async()
    await run_until_idle(app)
    with pytest.raises(JobFailed, match=problem) as caught:
        await app.result(job_id, timeout=30)
    assert caught.value.exception_type == ResultNotStorable.__name__
    assert "mail.odd" in str(caught.value.message)
    assert await kept(connection) == 0


async def test_what_cannot_be_kept_is_retried_as_the_strategy_says(app: forthwith.App) -> None:
    returned: list[Any] = [object(), 7]

    @app.task(name="odd", keep_result=True, retry=1)
    async def odd() -> Any:
        return returned.pop(0)

    job_id = await odd.defer_async()
    await run_until_idle(app)
    assert await app.result(job_id, timeout=30) == 7


async def test_largest_result_and_many_of_them(app: forthwith.App) -> None:
    @app.task(name="large", keep_result=True)
    async def large() -> str:
        return "x" * (2**20 - 2)

    ids = await large.batch_defer_async(*([{}] * 20))
    await run_until_idle(app, concurrency=20)
    assert [len(await app.result(job_id)) for job_id in ids] == [2**20 - 2] * 20


async def test_result_is_kept_only_with_an_accepted_completion(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any]
) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    @app.task(name="stolen", keep_result=True)
    async def stolen() -> str:
        started.set()
        await go_on.wait()
        return "too late"

    job_id = await stolen.defer_async()
    async with running_worker(app):
        await started.wait()
        await app.job_manager.finish_job_by_id_async(
            job_id, forthwith.JobStatus.SUCCEEDED, delete_job=False
        )
        go_on.set()
    assert await kept(connection) == 0
    with pytest.raises(NoResult):
        await app.result(job_id, timeout=30)


async def test_retry_by_hand_forgets_an_old_result(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any]
) -> None:
    job_id = await declare(app).configure(schedule_in={"hours": 1}).defer_async(value=2)
    await app.job_manager.cancel_job_by_id_async(job_id)
    await connection.execute(
        "insert into forthwith.result values (%s, now() + interval '1 day', '1')", [job_id]
    )
    await app.job_manager.retry_job_by_id_async(job_id, datetime.datetime.now(tz=datetime.UTC))
    assert await kept(connection) == 0
    await run_until_idle(app)
    assert await app.result(job_id, timeout=30) == 2


async def test_task_that_completes_its_job_itself_leaves_no_result(app: forthwith.App) -> None:
    @app.task(name="own", keep_result=True, pass_context=True)
    async def own(context: forthwith.JobContext) -> int:
        async with context.transaction():
            pass
        return 1

    job_id = await own.defer_async()
    await run_until_idle(app)
    assert await status(app, job_id) == "succeeded"
    with pytest.raises(NoResult, match="itself"):
        await app.result(job_id, timeout=30)


async def test_result_outlives_a_history_that_is_not_kept(app: forthwith.App) -> None:
    job_id = await declare(app).defer_async(value=5)
    await run_until_idle(app, delete_jobs="always")
    assert await status(app, job_id) is None
    assert await app.result(job_id, timeout=30) == 5


async def test_apps_json_encoder_is_used(database_url: str) -> None:
    import procrastinate

    connector = procrastinate.PsycopgConnector(
        conninfo=database_url,
        json_dumps=lambda value: json.dumps(value, default=lambda each: {"set": sorted(each)}),
        json_loads=lambda text: json.loads(
            text, object_hook=lambda each: set(each["set"]) if "set" in each else each
        ),
    )
    app = forthwith.App(connector=connector)

    @app.task(name="sets", keep_result=True)
    async def sets() -> set[int]:
        return {1, 2}

    async with app.open_async():
        job_id = await sets.defer_async()
        await run_until_idle(app)
        assert await app.result(job_id, timeout=30) == {1, 2}


async def test_polling_finds_what_no_notification_told(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    job_id = await declare(app).defer_async(value=1)
    waiting = asyncio.create_task(app.result(job_id, timeout=60))

    async def listens() -> bool:
        return await listeners(connection) == 1

    await wait_until(listens)
    await connection.execute("delete from forthwith.job where id = %s", [job_id])
    with pytest.raises(NoResult):
        await waiting


@pytest.fixture
def wait_for(app: forthwith.App, monkeypatch: pytest.MonkeyPatch) -> WaitFor:
    """Begin to wait for a job's result, by notifications alone. Returns once they are heard."""
    monkeypatch.setattr("forthwith.store.results.POLL_S", 36_000.0)
    heard = asyncio.Event()
    look = Results._look

    async def noted(results: Results, job_id: int) -> Any:
        end = await look(results, job_id)
        if results._waiting:  # the second look, for which it listens
            heard.set()
        return end

    monkeypatch.setattr(Results, "_look", noted)

    async def begin(job_id: int) -> asyncio.Task[Any]:
        waiting = asyncio.create_task(app.result(job_id, timeout=60))
        await heard.wait()
        return waiting

    return begin


@pytest.mark.parametrize(
    ("column", "value", "status"),
    [("crashes_max", 1, "failed"), ("crashes", 2, "failed"), ("abort_requested", True, "aborted")],
)
async def test_who_waits_is_told_of_a_job_that_ends_with_its_rescue(
    app: forthwith.App,
    connection: psycopg.AsyncConnection[Any],
    database_url: str,
    wait_for: WaitFor,
    column: str,
    value: object,
    status: str,
) -> None:
    job_id = await declare(app).defer_async(value=1)
    worker = await VirtualWorker(database_url, connection).register()
    await worker.claim(1)
    await connection.execute(
        f"update forthwith.job set {column} = %s, started_at = now()",  # noqa: S608 -- ours
        [value],
    )
    waiting = await wait_for(job_id)
    await worker.die()
    rescued = await worker.store.rescue(await observed(connection), 1000)
    assert [job.fate for job in rescued] == [status]
    with pytest.raises(JobFailed) as caught:
        await waiting
    assert (caught.value.status, caught.value.exception_type) == (status, "WorkerDied")
    await worker.store.close()


@pytest.mark.parametrize("deed", ["cancel", "cancel and delete", "end"])
async def test_who_waits_is_told_of_a_job_that_is_ended_by_hand(
    app: forthwith.App, wait_for: WaitFor, deed: str
) -> None:
    job_id = await declare(app).defer_async(value=1)
    waiting = await wait_for(job_id)
    if deed == "end":
        await app.job_manager.finish_job_by_id_async(
            job_id, forthwith.JobStatus.FAILED, delete_job=False
        )
    else:
        await app.job_manager.cancel_job_by_id_async(job_id, delete_job=deed != "cancel")
    with pytest.raises((JobFailed, NoResult)):
        await waiting


async def test_who_waits_is_told_of_a_job_that_is_aborted_before_it_starts(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_for: WaitFor
) -> None:
    job_id = await declare(app).defer_async(value=1)
    await connection.execute("update forthwith.job set abort_requested = true")
    waiting = await wait_for(job_id)
    await run_until_idle(app)
    with pytest.raises(JobFailed, match="was aborted"):
        await waiting


@pytest.mark.parametrize("way", [ways.async_transaction, ways.async_psycopg])
async def test_who_waits_is_told_of_a_job_that_completes_itself(
    app: forthwith.App, database_url: str, wait_for: WaitFor, way: Any
) -> None:
    @app.task(name="own", keep_result=True, pass_context=True)
    async def own(context: forthwith.JobContext) -> None:
        async with way(context, database_url) as execute:
            await execute("select 1")

    waiting = await wait_for(await own.defer_async())
    await run_until_idle(app)
    with pytest.raises(NoResult, match="itself"):
        await waiting


@pytest.mark.parametrize("way", [ways.transaction, ways.plain_psycopg])
async def test_who_waits_is_told_of_a_job_that_completes_itself_in_a_thread(
    app: forthwith.App, database_url: str, wait_for: WaitFor, way: Any
) -> None:
    @app.task(name="own", keep_result=True, pass_context=True)
    def own(context: forthwith.JobContext) -> None:
        with way(context, database_url) as execute:
            execute("select 1")

    waiting = await wait_for(await own.defer_async())
    await run_until_idle(app)
    with pytest.raises(NoResult, match="itself"):
        await waiting


async def test_nobody_is_told_of_jobs_whose_task_keeps_no_result(
    app: forthwith.App, database_url: str
) -> None:
    @app.task(name="own", pass_context=True)
    async def own(context: forthwith.JobContext) -> None:
        async with context.transaction():
            pass

    await own.defer_async()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as ear:
        await ear.execute("listen forthwith_done")
        await run_until_idle(app)
        job_id = await declare(app).defer_async(value=1)
        await run_until_idle(app)
        async for notification in ear.notifies(timeout=30):
            assert notification.payload == str(job_id)
            break
        else:
            pytest.fail("the notification did not come")


async def test_waiting_survives_the_loss_of_its_connection_and_false_notifications(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    job_id = await declare(app).defer_async(value=1)
    waiting = asyncio.create_task(app.result(job_id, timeout=60))

    async def listens() -> bool:
        return await listeners(connection) == 1

    await wait_until(listens)
    for payload in ("", "x", "1.5 -3", "9" * 5000, str(job_id), "٣"):
        await connection.execute("select pg_notify('forthwith_done', %s)", [payload])
    await connection.execute(
        "select pg_terminate_backend(pid) from pg_stat_activity"
        " where datname = current_database() and query like 'listen %forthwith_done%'"
    )
    await run_until_idle(app)
    assert await waiting == 1


async def test_closing_the_app_ends_the_wait(
    database_url: str, connection: psycopg.AsyncConnection[Any], wait_until: WaitUntil
) -> None:
    app = forthwith.App(database_url)
    async with app.open_async():
        job_id = await declare(app).defer_async(value=1)
        waiting = asyncio.create_task(app.result(job_id))

        async def listens() -> bool:
            return await listeners(connection) == 1

        await wait_until(listens)
    with pytest.raises(forthwith.errors.AppNotOpen):
        await waiting


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"keep_result": 1}, "keep_result"),
        ({"keep_result": True, "result_ttl": 0}, "result_ttl"),
        ({"keep_result": True, "result_ttl": 1e20}, "result_ttl"),
        ({"keep_result": True, "result_ttl": "1 day"}, "result_ttl"),
    ],
)
def test_wrong_options_are_refused(
    app: forthwith.App, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InvalidArgument, match=problem):
        app.task(name="wrong", **options)(lambda: None)


async def test_wrong_arguments_are_refused(app: forthwith.App) -> None:
    wrong: Any
    for wrong in (0, -1, "1", None, True):
        with pytest.raises(InvalidArgument, match="job_id"):
            await app.result(wrong)
    for wrong in (0, -1, float("nan"), "1"):
        with pytest.raises(InvalidArgument, match="timeout"):
            await app.result(1, timeout=wrong)
    with pytest.raises(NoResult):
        await app.result(2**63 - 1)


async def test_an_app_in_memory_says_that_it_keeps_nothing() -> None:
    from procrastinate.testing import InMemoryConnector

    with pytest.raises(ForthwithError, match="PostgreSQL"):
        await forthwith.App(connector=InMemoryConnector()).result(1)
