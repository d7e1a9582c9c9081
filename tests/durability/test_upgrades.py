"""Migrations at once, migrations under load, and versions side by side."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import forthwith
from forthwith.database import embedded_binaries
from forthwith.errors import DatabaseUnavailable, SchemaTooNew, SchemaTooOld
from forthwith.store import migrate as migrate_module
from forthwith.store.migrate import Migration, check, migrate, migrations
from tests.support.effects import Effects, in_process
from tests.support.roles import column
from tests.support.workers import count, run_until_idle, running_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.worker_process import WorkerProcess

    Connection = psycopg.AsyncConnection[Any]

FIRST_VERSION = Path(__file__).with_name("first_version")
NAMES = [migration.name for migration in migrations()]
SINCE_FIRST = f"-- Compatible since: {NAMES[0]}\n"
SINCE_NOW = f"-- Compatible since: {NAMES[-1]}\n"
# What migrations do: strong locks on every table of a worker's, a new function, a column with a default.
FUTURE = """
alter table forthwith.job add column future integer not null default 7;
alter table forthwith.finished_job add column future integer not null default 7;
alter table forthwith.worker add column future text;
create index future_job on forthwith.job (future) where future <> 7;
create or replace function forthwith.advance_future() returns integer language sql
    set search_path = pg_catalog, pg_temp as 'select 1';
"""


async def connect(url: str) -> Connection:
    """Connect in autocommit mode."""
    return await psycopg.AsyncConnection.connect(url, autocommit=True)


async def migrate_first(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install the schema of the first version."""
    with monkeypatch.context() as patched:
        patched.setattr(migrate_module, "migrations", lambda: migrations()[:1])
        async with await connect(url) as connection:
            assert await migrate(connection) == NAMES[:1]
            # As that version left it: it knew no column for this.
            await connection.execute("alter table forthwith.migration drop compatible_since")


def with_future(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let this process know one more migration."""
    later = (*migrations(), Migration("9001_future", text))
    monkeypatch.setattr(migrate_module, "migrations", lambda: later)


@pytest.fixture
def fresh_database_url(clear_of_midnight: None, database_url: str) -> str:
    """A database with the schema and the partitions of this day, with some of the day left."""
    return database_url


class TestSeveralMigrateAtOnce:
    @pytest.mark.parametrize("starting_from", ["nothing", "the first version"])
    async def test_one_process_applies_and_none_fails(
        self, empty_database_url: str, monkeypatch: pytest.MonkeyPatch, starting_from: str
    ) -> None:
        if starting_from != "nothing":
            await migrate_first(empty_database_url, monkeypatch)
        command = [sys.executable, "-m", "forthwith", "migrate", "--json"]
        environment = os.environ | {"FORTHWITH_DATABASE_URL": empty_database_url}
        processes = [
            await asyncio.create_subprocess_exec(*command, env=environment, stdout=subprocess.PIPE)
            for _ in range(6)
        ]
        async with asyncio.timeout(120):
            outputs = [(await process.communicate())[0] for process in processes]
        assert [process.returncode for process in processes] == [0] * 6
        applied = sorted(json.loads(output)["applied"] for output in outputs)
        expected = NAMES if starting_from == "nothing" else NAMES[1:]
        assert applied == [*([[]] * 5), expected]

    async def test_upgraded_and_fresh_schemas_are_the_same(
        self, empty_database_url: str, fresh_database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(1, len(NAMES) + 1):
            with monkeypatch.context() as patched:
                patched.setattr(migrate_module, "migrations", lambda n=number: migrations()[:n])
                async with await connect(empty_database_url) as connection:
                    assert await migrate(connection) == [NAMES[number - 1]]
                    if number == 1:  # as that version left it
                        await connection.execute(
                            "alter table forthwith.migration drop compatible_since"
                        )
        assert dump(empty_database_url) == dump(fresh_database_url)

    async def test_the_sql_for_psql_makes_the_same(
        self, empty_database_url: str, fresh_database_url: str
    ) -> None:
        text = forthwith.App(empty_database_url).schema_manager.get_schema()
        async with await connect(empty_database_url) as connection:
            await connection.execute(text)
        async with await connect(empty_database_url) as connection:
            await check(connection)
            assert await migrate(connection) == []
        assert dump(empty_database_url) == dump(fresh_database_url)


def dump(url: str) -> list[str]:
    """Return the schema as pg_dump writes it, without what differs each time."""
    program = embedded_binaries.find_wheel() / "pginstall18" / "bin" / "pg_dump"
    command = [str(program), "--schema-only", "--schema", "forthwith", url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "CREATE FUNCTION forthwith.defer(" in text
    return [line for line in text.splitlines() if not line.startswith("\\")]


@cache
def first_statement(name: str) -> bytes:
    """Return a statement as the first version had it."""
    return (FIRST_VERSION / f"{name}.sql").read_bytes()


class FirstVersion:
    """A worker and a producer of the first version: their statements, in their order."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.deferred: list[int] = []
        self.finished: list[int] = []

    async def _rows(self, name: str, /, **parameters: Any) -> list[Any]:
        cursor = await self._connection.execute(first_statement(name), parameters, prepare=True)
        return await cursor.fetchall() if cursor.description else []

    async def register(self) -> int:
        """Register as a worker."""
        [(worker_id, _)] = await self._rows(
            "register_worker", name="first", host="h", pid=1, queues=None, concurrency=1, lease_s=30
        )
        return int(worker_id)

    async def work(self, worker_id: int, step: int) -> None:
        """Defer three jobs, one of them under a lock; claim what is ready; end it, some by a retry."""
        rows = await self._rows(
            "defer",
            queues=["default"] * 3,
            tasks=["work"] * 3,
            priorities=[0, 1, 0],
            args=["{}"] * 3,
            locks=[None, "L", None],
            queueing_locks=[None, None, f"Q{step}"],
            scheduled_ats=[None] * 3,
            crashes_maxes=[3] * 3,
            channel="forthwith_wake",
            always_notify=False,
        )
        self.deferred += [row[0] for row in rows]
        await self._rows("promote_due", limit=100)
        await self._rows("sort_lines", batch_size=100)
        jobs = await self._rows(
            "claim",
            worker_id=worker_id,
            queues=["default"],
            limits=[20],
            after_ranks=[-(2**62)],
            after_ids=[-1],
            unknown_tasks=[],
        )
        again, done = [job for job in jobs if job[0] % 7 == 0 and job[6] == 0], []
        done = [job for job in jobs if job not in again]
        async with self._connection.transaction():
            await self._end(done)
            await self._retry(again)
            locks = [job[10] for job in jobs if job[10] is not None]
            await self._rows("advance_lines", locks=locks)
        assert await self._rows("renew_lease", worker_id=worker_id, lease_s=30)
        await self._rows("rescue", missing_after_s=2.5, restart_grace_s=0)

    async def _end(self, jobs: list[Any]) -> None:
        ended = await self._rows(
            "complete",
            **self._ids(jobs),
            statuses=["succeeded"] * len(jobs),
            keeps=[True] * len(jobs),
            spents=[1] * len(jobs),
        )
        self.finished += [job_id for (job_id,) in ended]

    async def _retry(self, jobs: list[Any]) -> None:
        nothing = [None] * len(jobs)
        back = await self._rows(
            "retry",
            **self._ids(jobs),
            retry_ats=nothing,
            spents=[1] * len(jobs),
            priorities=nothing,
            queues=nothing,
            locks=nothing,
        )
        assert len(back) == len(jobs)

    def _ids(self, jobs: list[Any]) -> dict[str, Any]:
        return {"ids": [job[0] for job in jobs], "lease_tokens": [job[1] for job in jobs]}


class TestTheFirstVersionBesideThisOne:
    async def test_goes_on_while_its_schema_is_migrated_and_loses_nothing(
        self, empty_database_url: str, monkeypatch: pytest.MonkeyPatch, wait_until: Any
    ) -> None:
        await migrate_first(empty_database_url, monkeypatch)
        migrated = asyncio.Event()

        async def work() -> FirstVersion:
            async with await connect(empty_database_url) as connection:
                version = FirstVersion(connection)
                worker_id, step, after = await version.register(), os.urandom(4).hex(), 0
                while after < 40:
                    await version.work(worker_id, hash((step, len(version.deferred))))
                    after += migrated.is_set()
                for _ in range(20):  # what the others left in the lines
                    await version.work(worker_id, hash((step, len(version.deferred))))
                await connection.execute(
                    first_statement("keep_partitions"), {"days_ahead": 3, "retention_s": None}
                )
                await connection.execute(
                    first_statement("unregister_worker"), {"worker_id": worker_id}
                )
                return version

        workers = [asyncio.create_task(work()) for _ in range(3)]
        async with await connect(empty_database_url) as connection:
            ended_some = "select 1 from forthwith.finished_job offset 50 limit 1"
            await wait_until(
                lambda: any(worker.done() for worker in workers) or column(connection, ended_some)
            )
            assert not [worker.exception() for worker in workers if worker.done()]
            assert await migrate(connection) == NAMES[1:]
            migrated.set()
            versions = await asyncio.gather(*workers)
            live = await column(connection, "select id from forthwith.job")
            ended = await column(connection, "select id from forthwith.finished_job")
        deferred = sorted(job_id for version in versions for job_id in version.deferred)
        assert len(ended) == len(set(ended))
        assert sorted([*live, *ended]) == deferred
        assert sorted(job_id for version in versions for job_id in version.finished) == sorted(
            ended
        )
        # What is left is run by a worker of this version.
        app = forthwith.App(empty_database_url)

        @app.task(name="work")
        async def noop() -> None: ...

        async with app.open_async():
            await run_until_idle(app, concurrency=10)
            assert await count(app, "succeeded") == len(deferred)

    @pytest.mark.parametrize("name", sorted(file.stem for file in FIRST_VERSION.glob("*.sql")))
    async def test_each_of_its_statements_is_understood(
        self, connection: Connection, name: str
    ) -> None:
        text = re.sub(r"%\(\w+\)s", "null", first_statement(name).decode()).replace("%%", "%")
        await connection.execute(f"explain {text}".encode())

    async def test_this_version_says_which_command_the_first_schema_needs(
        self, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await migrate_first(empty_database_url, monkeypatch)
        app = forthwith.App(empty_database_url)
        async with app.open_async():
            with pytest.raises(SchemaTooOld, match=rf"{NAMES[-1]}.*`forthwith migrate`"):
                await run_until_idle(app)
            with pytest.raises(SchemaTooOld, match="forthwith migrate"):
                await app.configure_task("work").defer_async()
            assert await app.migrate_async() == NAMES[1:]
            await app.configure_task("work").defer_async()


class TestThisVersionBesideTheNext:
    async def test_workers_go_on_and_start_again_on_a_newer_compatible_schema(
        self,
        make_worker_process: Callable[..., WorkerProcess],
        app: forthwith.App,
        connection: Connection,
        wait_until: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        effects = await Effects(connection).create()
        environment = {"FUTURE_MIGRATION": SINCE_NOW + FUTURE}
        old = [
            await make_worker_process("tests.support.worker_app", concurrency=4).wait_ready()
            for _ in range(2)
        ]
        deferred: list[int] = []
        async with producing(app, deferred):
            await wait_until(lambda: enough(effects, 100))
            with monkeypatch.context() as patched:
                with_future(patched, SINCE_NOW + FUTURE)
                assert await migrate(connection) == ["9001_future"]
            before = len(await effects.all("noted"))
            await wait_until(lambda: enough(effects, before + 100))
            # The rolling deploy: one is replaced by the next version, one restarts as it was.
            assert await old[0].stop() == 0
            new = make_worker_process(
                "tests.durability.future_app", concurrency=4, environment=environment
            )
            await new.wait_ready()
            old[1].kill()
            again = make_worker_process("tests.durability.future_app", concurrency=4)
            await again.wait_ready()
            before = len(await effects.all("noted"))
            await wait_until(lambda: enough(effects, before + 100))
        await wait_until(lambda: all_succeeded(app, deferred), 60)
        assert await again.stop() == 0
        assert await new.stop() == 0
        failed = await column(connection, "select kind::text from forthwith.failed_attempt")
        assert set(failed) <= {"crashed"}  # by the kill, and by nothing else
        await app.schema_manager.check_async()
        assert await app.migrate_async() == []

    async def test_a_worker_does_not_start_on_a_schema_that_it_cannot_work_with(
        self,
        make_worker_process: Callable[..., WorkerProcess],
        connection: Connection,
        wait_until: Any,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        with_future(monkeypatch, FUTURE)  # it does not say that it is compatible
        await migrate(connection)
        old = make_worker_process("tests.durability.future_app")
        await wait_until(lambda: old.exit_status is not None)
        assert old.exit_status != 0
        assert "SchemaTooNew" in old.output()
        assert "9001_future" in old.output()


@asynccontextmanager
async def producing(app: forthwith.App, deferred: list[int]) -> AsyncIterator[None]:
    """Defer jobs beside the block, some under a lock.

    The last defer is waited for: one that is cancelled may have made a job that nobody counts.
    """
    ended = asyncio.Event()

    async def produce() -> None:
        while not ended.is_set():
            number = len(deferred)
            lock = "L" if number % 5 == 0 else None
            deferred.append(await in_process(app, "note", lock=lock).defer_async(key=str(number)))
            await asyncio.sleep(0.002)

    producer = asyncio.create_task(produce())
    try:
        yield
    finally:
        ended.set()
        await producer


async def enough(effects: Effects, number: int) -> bool:
    """Whether so many jobs have run."""
    return len(await effects.all("noted")) >= number


async def all_succeeded(app: forthwith.App, deferred: list[int]) -> bool:
    """Whether all jobs have."""
    return await count(app, "succeeded") == len(deferred)


class TestWhichVersionsFit:
    @pytest.mark.parametrize(
        ("compatible_since", "known", "fits"),
        [
            (NAMES[0], 1, True),
            (NAMES[0], len(NAMES), True),
            (NAMES[-1], len(NAMES), True),
            (NAMES[-1], 1, False),
            ("9000_between", len(NAMES), False),
            (None, len(NAMES), False),
        ],
    )
    async def test_as_each_unknown_migration_says(
        self,
        connection: Connection,
        monkeypatch: pytest.MonkeyPatch,
        compatible_since: str | None,
        known: int,
        *,
        fits: bool,
    ) -> None:
        await connection.execute(
            "insert into forthwith.migration (name, checksum, compatible_since)"
            " values ('9001_future', 'x', %s)",
            [compatible_since],
        )
        monkeypatch.setattr(migrate_module, "migrations", lambda: migrations()[:known])
        if fits:
            await check(connection)
            assert await migrate(connection) == []
            return
        for refused in (check, migrate):
            with pytest.raises(SchemaTooNew, match="9001_future"):
                await refused(connection)

    async def test_another_history_does_not(self, connection: Connection) -> None:
        await connection.execute("delete from forthwith.migration where name = %s", [NAMES[-1]])
        await connection.execute(
            "insert into forthwith.migration values ('9001_future', 'x', now(), %s)", [NAMES[0]]
        )
        with pytest.raises(SchemaTooNew, match="9001_future"):
            await check(connection)

    def test_every_migration_says_which_versions_can_go_on_with_it(self) -> None:
        for migration in migrations()[1:]:
            assert migration.compatible_since in NAMES, migration.name
            assert migration.compatible_since < migration.name


class TestLocks:
    async def test_a_migration_that_waits_lets_workers_go_on(
        self,
        app: forthwith.App,
        connection: Connection,
        database_url: str,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        wait_until: Any,
    ) -> None:
        @app.task(name="work")
        async def work() -> None: ...

        async with running_worker(app), await connect(database_url) as reader:
            await work.defer_async()
            await wait_until(lambda: all_succeeded(app, [1]))
            with_future(monkeypatch, SINCE_NOW + FUTURE)
            monkeypatch.setattr(migrate_module, "LOCK_TIMEOUT_S", 0.2)
            async with reader.transaction():
                await reader.execute("select from forthwith.job")  # and there it sits
                migrating = asyncio.create_task(migrate(connection))
                await wait_until(lambda: "trying again" in caplog.text)
                await work.defer_async()
                await wait_until(lambda: all_succeeded(app, [1, 2]))
                assert not migrating.done()
            assert await migrating == ["9001_future"]
            await work.defer_async()
            await wait_until(lambda: all_succeeded(app, [1, 2, 3]))

    async def test_a_migration_that_never_gets_its_lock_says_why_and_changes_nothing(
        self, connection: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with_future(monkeypatch, SINCE_NOW + FUTURE)
        monkeypatch.setattr(migrate_module, "LOCK_TIMEOUT_S", 0.1)
        async with await connect(database_url) as reader, reader.transaction():
            await reader.execute("select from forthwith.worker")
            with pytest.raises(DatabaseUnavailable, match="pg_stat_activity"):
                await migrate(connection, patience_s=1.0)
        assert await column(connection, "select name from forthwith.migration order by 1") == NAMES

    async def test_settings_of_the_role_do_not_end_a_migration(
        self, empty_database_url: str
    ) -> None:
        async with await connect(empty_database_url) as connection:
            await connection.execute("set statement_timeout = '1ms'; set lock_timeout = '1ms'")
            assert await migrate(connection) == NAMES

    async def test_pruning_does_not_wait_behind_a_long_transaction(
        self, connection: Connection, database_url: str
    ) -> None:
        """While it waited, all completions would wait behind it."""
        await connection.execute(
            "create table forthwith.finished_job_20200101 partition of forthwith.finished_job"
            " for values from ('2020-01-01Z') to ('2020-01-02Z')"
        )
        prune = "select forthwith.keep_partitions(3, '1 day')"
        async with await connect(database_url) as reader:
            async with reader.transaction():
                await reader.execute("select from forthwith.finished_job")
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    await connection.execute(prune)
            assert await column(connection, prune) == ["finished_job_20200101"]
