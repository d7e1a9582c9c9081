"""Errors that pass by themselves: classified as such, and tried again until they have passed."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

from forthwith.database.database import Database
from forthwith.database.failures import is_transient, translated
from forthwith.database.pool import SIZE_MAX, Pool
from forthwith.database.task_pool import TaskPool
from forthwith.errors import ConnectorException, DatabaseUnavailable, NotPermitted
from forthwith.store.postgres import PostgresStore
from tests.durability.steady_load import assert_undisturbed, defer_again, steady_load
from tests.support.workers import running_worker, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import forthwith
    from forthwith.database.line import Line
    from forthwith.verify.lab import Lab

    MakeLab = Callable[..., Awaitable[Lab]]
    WaitUntil = Callable[..., Awaitable[Any]]

FILL_DISK = """
create function full_disk() returns trigger language plpgsql as $$
    begin raise exception 'No space left on device' using errcode = 'disk_full'; end
$$;
create trigger full_disk before update on forthwith.worker execute function full_disk()
"""
LOCK_JOB = "select from forthwith.job where id = %s for update"
BLOCKED = "select from pg_stat_activity where %s = any (pg_blocking_pids(pid))"
OF_WORKERS = """
from pg_stat_activity where datname = current_database() and application_name like 'worker-%'
"""
CANCEL = f"select pg_cancel_backend(pid) {OF_WORKERS} and state = 'active'"
TERMINATE = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and pid <> pg_backend_pid()
"""
PARTITIONS = """
select relname from pg_class
where relnamespace = 'forthwith'::regnamespace and relkind = 'r' and relispartition
  and relname ~ '_[0-9]{8}$'
"""

# SQLSTATE, whether trying again on a new connection may help, and why.
CLASSES = [
    ("08006", True, "the connection was lost"),
    ("08P01", True, "what PgBouncer says of its own troubles"),
    ("25006", True, "a standby, or a primary that was demoted"),
    ("25P03", True, "idle_in_transaction_session_timeout ended the session"),
    ("25P04", True, "transaction_timeout ended the session"),
    ("26000", True, "a prepared statement is gone: DISCARD ALL, or another server of a pooler's"),
    ("28P01", True, "a password that is being changed; a worker that starts says so and exits"),
    ("40001", True, "serialization failure"),
    ("40P01", True, "deadlock: the other one has gone on"),
    ("42P05", True, "a prepared statement is there already: a pooler gave us another's session"),
    ("53100", True, "disk full"),
    ("53200", True, "out of memory"),
    ("53300", True, "too many clients"),
    ("55P03", True, "lock_timeout"),
    ("57014", True, "statement_timeout, or somebody's pg_cancel_backend"),
    ("57P01", True, "fast shutdown, or pg_terminate_backend"),
    ("57P02", True, "another backend crashed"),
    ("57P03", True, "starting up, shutting down or recovering"),
    ("57P05", True, "idle_session_timeout"),
    ("58030", True, "the disk answered with an error"),
    ("XX000", True, "an object was changed or dropped under the statement"),
    ("22001", False, "a value is too long"),
    ("22P05", False, "a character that the encoding lacks"),
    ("23505", False, "a unique index refuses it"),
    ("42501", False, "a right is missing: somebody must grant it"),
    ("42601", False, "wrong SQL"),
    ("42703", False, "a column is missing: a migration"),
    ("42P01", False, "a table is missing: a migration"),
    ("54000", False, "a value is too large for an index"),
    ("54001", False, "a value is nested too deeply"),
    ("P0001", False, "a trigger of somebody's raised it"),
    ("XX001", False, "data are corrupted"),
    ("XX002", False, "an index is corrupted"),
]


@pytest.mark.parametrize(("sqlstate", "passes", "reason"), CLASSES, ids=[row[0] for row in CLASSES])
def test_errors_that_pass_by_themselves_are_told_from_those_that_last(
    sqlstate: str, passes: bool, reason: str
) -> None:
    error = errors.lookup(sqlstate)("as the server says")
    assert is_transient(error) is passes, reason
    with pytest.raises(ConnectorException) as raised, translated():
        raise error
    assert isinstance(raised.value, DatabaseUnavailable) is passes


async def test_row_that_goes_to_the_default_as_its_partition_comes_is_sent_again(
    connection: psycopg.AsyncConnection[Any], database_url: str, wait_until: WaitUntil
) -> None:
    await connection.execute("create table parted (a integer) partition by list (a)")
    await connection.execute("create table parted_default partition of parted default")
    await connection.execute("create table parted_1 (a integer)")
    async with (
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as pruner,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as watcher,
    ):
        async with pruner.transaction():
            await pruner.execute("lock table parted_default in access exclusive mode")
            inserting = asyncio.create_task(connection.execute("insert into parted values (1)"))
            await wait_until(lambda: is_blocking(watcher, pruner))
            await pruner.execute("alter table parted attach partition parted_1 for values in (1)")
        with pytest.raises(errors.CheckViolation) as raised:
            await inserting
    assert is_transient(raised.value)


async def test_plan_that_is_out_of_date_passes_by_itself(
    connection: psycopg.AsyncConnection[Any], database_url: str
) -> None:
    await connection.execute("create table changing (a integer)")
    await connection.execute("select * from changing", prepare=True)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
        await other.execute("alter table changing add b integer")
    with pytest.raises(errors.FeatureNotSupported) as raised:
        await connection.execute("select * from changing", prepare=True)
    assert is_transient(raised.value)


async def test_prepared_statements_that_are_gone_are_prepared_again(database_url: str) -> None:
    store = PostgresStore(Database(database_url))
    await store.look(None)
    async with store._claims.use() as connection:
        await connection.execute("do $$ begin execute 'deallocate all'; end $$")
    with pytest.raises(DatabaseUnavailable, match="does not exist"):
        await store.look(None)
    assert (await store.look(None)).queues == []
    await store.close()


async def test_pool_serves_at_once_after_all_of_its_connections_have_died(
    connection: psycopg.AsyncConnection[Any], database_url: str
) -> None:
    pool = Pool(Database(database_url))
    async with AsyncExitStack() as stack:
        for _ in range(SIZE_MAX):
            await stack.enter_async_context(pool.lent())
    cursor = await connection.execute(TERMINATE)
    assert cursor.rowcount >= SIZE_MAX
    async with asyncio.timeout(5.0):  # psycopg_pool's own check waits for 1 + 2 + 4 + ... s
        async with pool.connection() as used:
            await used.execute("select 1")
    await pool.close()


def test_pool_of_task_threads_serves_at_once_after_all_of_its_connections_have_died(
    database_url: str,
) -> None:
    pool = TaskPool(Database(database_url))
    with ExitStack() as stack:
        for _ in range(SIZE_MAX):
            stack.enter_context(pool.lent())
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert connection.execute(TERMINATE).rowcount >= SIZE_MAX
    began_s = time.monotonic()
    with pool.lent() as used:
        used.execute("select 1")
    assert time.monotonic() - began_s < 5.0
    pool.close()


STRICT = ("default_transaction_isolation = 'serializable'",)
HASTY = (
    "statement_timeout = '250ms'",
    "lock_timeout = '1ms'",
    "transaction_timeout = '250ms'",
    "idle_session_timeout = '500ms'",
    "idle_in_transaction_session_timeout = '50ms'",
)


@pytest.mark.parametrize("settings", [STRICT, HASTY], ids=["strict", "hasty"])
async def test_work_goes_on_whatever_the_roles_settings(
    settings: tuple[str, ...], make_lab: MakeLab
) -> None:
    lab = await make_lab()
    for setting in settings:
        await set_for_all(lab, setting)
    workers = [lab.start_worker(concurrency=4) for _ in range(3)]
    await lab.wait_ready()
    for number in range(24):
        task = "transfer" if number % 6 == 0 else "work"
        await defer_again(lab, task, f"single {number}", lock=f"lock {number % 4}")
    await lab.defer_batch("work", [{"key": f"batch {number}"} for number in range(150)])
    await lab.defer_batch("flaky", [{"key": f"flaky {number}"} for number in range(20)])
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)
    for worker in workers:
        assert "could not serialize" not in worker.output()


async def test_locked_tables_are_waited_for_and_nobody_is_rescued(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(lease_s=2.0, renew_s=0.3)
    for _ in range(2):
        lab.start_worker()
    await lab.wait_ready()
    held = await lab.defer("gate", "held")
    await wait_until(lambda: lab.starts(held))
    await lab.defer_batch("work", [{"key": f"{number}", "run_s": 0.01} for number in range(200)])
    await wait_until(lambda: len(lab.starts()) > 20)
    with lab.fault("lock", "database"):
        async with await lab.connect() as connection, connection.transaction():
            for table in (
                "finished_job",
                "job",
                "worker",
            ):  # first completions, then claims, then leases
                await connection.execute(f"lock table forthwith.{table} in access exclusive mode")
                await asyncio.sleep(0.5)
            await asyncio.sleep(2.5)  # longer than a lease
    lab.open_gate("held")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)


async def test_workers_that_could_not_renew_for_longer_than_a_lease_do_not_rescue_each_other(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    """A full disk lets nobody write and everybody look: all seem silent to all."""
    lab = await make_lab(lease_s=1.5)
    for _ in range(3):
        lab.start_worker(concurrency=1)
    await lab.wait_ready()
    held = [await lab.defer("gate", f"held {number}") for number in range(3)]
    await wait_until(lambda: len(lab.starts()) == 3)
    async with await lab.connect() as connection:
        with lab.fault("disk full", "database"):
            await connection.execute(FILL_DISK)
            await asyncio.sleep(2.5)  # longer than a lease
            await connection.execute("drop trigger full_disk on forthwith.worker")
        await asyncio.sleep(1.5)  # time itself: in which they would rescue
    for number in range(3):
        lab.open_gate(f"held {number}")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)
    assert [len(lab.starts(job_id)) for job_id in held] == [1, 1, 1]


async def test_transaction_of_a_frozen_worker_soon_lets_go_of_its_jobs(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], database_url: str
) -> None:
    """Found by `forthwith verify`, seed 2: packets vanished amid a completion, and nobody could rescue."""
    store = PostgresStore(Database(database_url))
    [job_id] = await app.configure_task("work", allow_unknown=True).batch_defer_async({})

    async def hold_until_it_is_ended(line: Line) -> None:
        async with line.use() as own:
            cursor = await own.execute("show idle_in_transaction_session_timeout")
            assert await cursor.fetchone() == ("5s",)
            await own.execute("set idle_in_transaction_session_timeout = '100ms'")
            await own.execute("begin")
            await own.execute(LOCK_JOB, [job_id])
            await connection.execute(LOCK_JOB, [job_id])  # waits until the server has ended it
            await own.execute("select 1")

    for line in (store._claims, store._completions):
        with pytest.raises(DatabaseUnavailable, match="idle-in-transaction timeout"):
            await hold_until_it_is_ended(line)
    await store.close()


async def test_completion_of_a_worker_that_freezes_between_two_messages_is_ended(
    app: forthwith.App, connection: psycopg.AsyncConnection[Any], database_url: str
) -> None:
    """Found by `forthwith verify`, seed 20: the server waits for the rest of a pipeline, as if busy."""
    store = PostgresStore(Database(database_url))
    [job_id] = await app.configure_task("work", allow_unknown=True).batch_defer_async({})
    async with store._completions.use() as own:
        cursor = await own.execute("show transaction_timeout")
        assert await cursor.fetchone() == ("10s",)
        await own.execute("set transaction_timeout = '300ms'")

    async def freeze_between_two_messages() -> None:
        async with store._completions.use() as own, own.pipeline():
            cursor = await own.execute(LOCK_JOB, [job_id])
            await cursor.fetchall()  # its message was sent, and none that says that this is all
            await connection.execute(LOCK_JOB, [job_id])  # waits until the server has ended it

    with pytest.raises(DatabaseUnavailable):
        await freeze_between_two_messages()
    await store.close()


async def test_completion_that_is_a_deadlocks_victim_is_sent_again(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab()
    worker = lab.start_worker()
    ids = {key: await lab.defer("gate", key) for key in ("first", "a", "b")}
    await wait_until(lambda: len(lab.starts()) == 3)

    async def end(key: str) -> None:
        lab.open_gate(key)
        await wait_until(lambda: lab.starts(ids[key])[0].ended_s)

    async with await lab.connect() as gathering, await lab.connect() as other:
        async with gathering.transaction():  # while `first` waits, the other two gather in a batch
            await gathering.execute(LOCK_JOB, [ids["first"]])
            await end("first")
            await wait_until(lambda: is_blocking(other, gathering))
            await end("a")
            await end("b")
            await other.execute("set deadlock_timeout = '1min'")  # the completion finds it first
            await other.execute("begin")
            await other.execute(LOCK_JOB, [ids["b"]])
        await wait_until(lambda: is_blocking(gathering, other))
        await other.execute(LOCK_JOB, [ids["a"]])  # the cycle
        await other.execute("commit")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)
    assert "deadlock detected" in worker.output()


async def test_cancelled_statements_are_sent_again(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab()
    workers = [lab.start_worker() for _ in range(2)]
    await lab.wait_ready()

    async def have_noticed() -> bool:
        if await lab.unfinished() < 100:
            jobs = [{"key": f"{len(lab.calls)} {n}", "run_s": 0.005} for n in range(200)]
            await lab.defer_batch("work", jobs)
        await connection.execute(CANCEL)
        return all("due to user request" in worker.output() for worker in workers)

    async with await lab.connect() as connection:
        await wait_until(have_noticed, poll_s=0.05)  # or else nothing could be done at all
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)


async def test_worker_waits_while_the_database_is_read_only(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab()
    worker = lab.start_worker()
    held = await lab.defer("gate", "held")
    await wait_until(lambda: lab.starts(held))
    async with await lab.connect() as connection:
        with lab.fault("read-only", "database"):
            await set_for_all(lab, "default_transaction_read_only = on")
            await connection.execute(TERMINATE)
            lab.open_gate("held")
            await wait_until(lambda: "in a read-only transaction" in worker.output())
            await wait_until(lambda: "Could not record 1 outcomes" in worker.output())
            with pytest.raises(DatabaseUnavailable, match=r"terminating|read-only"):
                await lab.defer("work", "refused")
            await set_for_all(lab, "default_transaction_read_only = off")
    await defer_again(lab, "work", "after")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)


async def test_columns_that_come_and_go_under_prepared_statements_disturb_no_worker(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab()
    workers = [lab.start_worker() for _ in range(2)]
    await lab.wait_ready()
    async with steady_load(lab) as load, await lab.connect() as connection:
        for change in ("add extra integer default 1", "drop extra"):
            for table in ("job", "finished_job", "failed_attempt", "worker"):
                before = load.accepted
                await connection.execute(f"alter table forthwith.{table} {change}".encode())
                await wait_until(lambda: load.accepted > before + 10)  # noqa: B023 -- now
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)
    assert load.refused == 0
    for worker in workers:
        assert "Could not" not in worker.output()


async def test_day_without_a_partition_fails_no_completion_and_is_put_right_later(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab()
    async with await lab.connect() as connection:
        for (name,) in await (await connection.execute(PARTITIONS)).fetchall():
            await connection.execute(f"drop table forthwith.{name}".encode())
        lab.start_worker()
        async with steady_load(lab):
            await lab.defer_batch("flaky", [{"key": f"flaky {number}"} for number in range(10)])
            await wait_until(lambda: len(lab.starts()) > 40)
            assert await count(connection, "finished_job_default") > 0
            assert await count(connection, "failed_attempt_default") > 0
            await connection.execute("select forthwith.keep_partitions(1, null)")
            assert await count(connection, "finished_job_default") == 0
            before = len(lab.starts())
            await wait_until(lambda: len(lab.starts()) > before + 40)
        verdict = await lab.settle()
        assert verdict.ok, verdict.text()
        assert await count(connection, "finished_job_default") == 0
    assert_undisturbed(verdict.history)


async def test_outcomes_wait_until_a_missing_right_is_granted(
    app: forthwith.App, wait_until: WaitUntil, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = refuse_completions(monkeypatch, NotPermitted("permission denied"), times=3)
    ran: list[str] = []

    @app.task
    async def work() -> None:
        ran.append("once")

    job_id = await work.defer_async()
    async with running_worker(app):
        await wait_until(lambda: succeeded(app, job_id))
    assert len(refused) == 3
    assert ran == ["once"]


async def test_worker_whose_last_word_on_a_job_is_refused_leaves_and_says_so(
    app: forthwith.App, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_completions(monkeypatch, ConnectorException("a trigger of somebody's"), times=1000)

    @app.task
    async def work() -> None: ...

    await work.defer_async()
    with pytest.raises(ConnectorException, match="a trigger"):
        async with asyncio.timeout(30.0):
            await app.run_worker_async(install_signal_handlers=False)


def refuse_completions(
    monkeypatch: pytest.MonkeyPatch, error: Exception, *, times: int
) -> list[Exception]:
    """Let the first completions fail; returns the list of those that did."""
    refused: list[Exception] = []
    original = PostgresStore.complete

    async def complete(self: PostgresStore, *args: Any, **options: Any) -> Any:
        if len(refused) < times:
            refused.append(error)
            raise error
        return await original(self, *args, **options)

    monkeypatch.setattr(PostgresStore, "complete", complete)
    return refused


async def succeeded(app: forthwith.App, job_id: int) -> bool:
    """Whether the job has succeeded."""
    return await status(app, job_id) == "succeeded"


async def set_for_all(lab: Lab, setting: str) -> None:
    """Make it the default of the sessions that begin from now on."""
    async with await lab.connect() as connection:
        await connection.execute("set default_transaction_read_only = off")
        [name] = await (await connection.execute("select current_database()")).fetchone() or [""]
        await connection.execute(f'alter database "{name}" set {setting}'.encode())


async def is_blocking(
    connection: psycopg.AsyncConnection[Any], blocker: psycopg.AsyncConnection[Any]
) -> bool:
    """Whether somebody waits for what `blocker` has locked."""
    cursor = await connection.execute(BLOCKED, [blocker.info.backend_pid])
    return await cursor.fetchone() is not None


async def count(connection: psycopg.AsyncConnection[Any], table: str) -> int:
    """Return how many rows a table of ours has."""
    query = f"select count(*) from forthwith.{table}"  # noqa: S608 -- a name of ours
    cursor = await connection.execute(query.encode())
    [(number,)] = await cursor.fetchall()
    return int(number)
