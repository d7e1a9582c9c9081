"""Roles that may only defer, or only work: what they can do, what they cannot, and who said so."""

from __future__ import annotations

import asyncio
import datetime
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import errors

import forthwith
from forthwith.errors import AlreadyEnqueued, InvalidArgument, NotPermitted
from forthwith.store import migrate as migrate_module
from forthwith.store.grants import grant, granted
from forthwith.store.migrate import Migration, check, migrate, migrations
from tests.store.virtual_worker import DEFER_COLUMNS, new_job, run
from tests.support.roles import column, roles_of
from tests.support.workers import run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forthwith.store.grants import Right
    from tests.support.roles import Roles

    Connection = psycopg.AsyncConnection[Any]

SECRET = "the-others-secret"  # noqa: S105


@pytest.fixture
def roles(database_url: str) -> Iterator[Roles]:
    """Roles of the test's database."""
    yield from roles_of(database_url)


@pytest.fixture
def fresh_roles(empty_database_url: str) -> Iterator[Roles]:
    """Roles of the test's database that has no schema."""
    yield from roles_of(empty_database_url)


@pytest.fixture(scope="module")
def urls_of_roles(module_database_url: str) -> Iterator[dict[Right, str]]:
    """The URL of a role for each right, for tests in which it is refused what it tries.

    They share a database with a job and a lock in it.
    """

    async def prepare(roles: Roles) -> dict[Right, str]:
        app = forthwith.App(module_database_url)
        async with app.open_async():
            await app.configure_task("work", queueing_lock="Q").defer_async(to=SECRET)
        rights: tuple[Right, ...] = ("defer", "work")
        return {right: roles.url(await roles.create_granted(right)) for right in rights}

    with contextmanager(roles_of)(module_database_url) as roles:
        yield asyncio.run(prepare(roles))


async def connect(url: str) -> Connection:
    """Connect as a role."""
    return await psycopg.AsyncConnection.connect(url, autocommit=True)


class TestWhoMayOnlyDefer:
    async def test_defers_in_every_way(self, roles: Roles, app: forthwith.App) -> None:
        role = await roles.create_granted("defer")
        theirs = forthwith.App(roles.url(role))
        work = theirs.configure_task("work")
        later = datetime.datetime.now(tz=datetime.UTC) + datetime.timedelta(hours=1)
        async with theirs.open_async():
            await theirs.schema_manager.check_async()
            ids = [await work.defer_async(n=1), *await work.batch_defer_async({"n": 2}, {"n": 3})]
            ids.append(await theirs.configure_task("work", lock="L").defer_async())
            ids.append(await theirs.configure_task("work", schedule_at=later).defer_async())
            ids.append(await theirs.configure_task("work", queueing_lock="Q").defer_async())
            with pytest.raises(AlreadyEnqueued):
                await theirs.configure_task("work", queueing_lock="Q").defer_async()
            async with await psycopg.AsyncConnection.connect(roles.url(role)) as own:
                configured = theirs.configure_task("work", connection=own)
                ids.append(await configured.defer_async())
                await own.commit()
                await configured.defer_async()
                await own.rollback()
        jobs = await app.job_manager.list_jobs_async()
        assert [job.id for job in jobs] == ids

    async def test_wakes_a_sleeping_worker(
        self, roles: Roles, app: forthwith.App, connection: Connection, wait_until: Any
    ) -> None:
        ran = asyncio.Event()

        @app.task(name="work")
        async def work() -> None:
            ran.set()

        role = await roles.create_granted("defer")
        theirs = forthwith.App(roles.url(role))
        sleeping = "select sleeping from forthwith.worker"
        async with running_worker(app, fetch_job_polling_interval=600.0), theirs.open_async():
            await wait_until(lambda: column(connection, sleeping + " where sleeping"))
            await theirs.configure_task("work").defer_async()
            async with asyncio.timeout(20):
                await ran.wait()

    @pytest.mark.parametrize(
        "statement",
        [
            "select args from forthwith.job",
            "select id from forthwith.job",
            "select task from forthwith.job where args->>'to' > 'm'",
            "copy forthwith.job to stdout",
            "select args from forthwith.finished_job",
            "select message from forthwith.failed_attempt",
            "select key from forthwith.queueing_lock",
            "select name from forthwith.worker",
            "select task from forthwith.periodic_defer",
            "select value from forthwith.result",
            "select note from forthwith.progress",
            "select task from forthwith.tally",
            "select traceparent from forthwith.job_trace",
            "select queue from forthwith.queue_pause",
            "insert into forthwith.queue_pause values ('default')",
            "delete from forthwith.queue_pause",
            "insert into forthwith.result values (1, now(), '1')",
            "update forthwith.periodic_task set paused_at = now()",
            "select forthwith.prune_observation('0 s', '0 s', 1)",
            "insert into forthwith.job (queue, task, state) values ('q', 't', 'ready')",
            "insert into forthwith.job (id, queue, task, state) values (9999, 'q', 't', 'ready')",
            "insert into forthwith.queueing_lock values ('Q', 1)",
            "insert into forthwith.migration values ('9999_mine', 'x')",
            "update forthwith.job set worker_id = 1",
            "update forthwith.job set abort_requested = true",
            "delete from forthwith.job",
            "truncate forthwith.job",
            "select nextval('forthwith.job_id_seq')",
            "select setval('forthwith.job_id_seq', 1)",
            "select forthwith.sort_lines(1)",
            "select forthwith.advance_lines('{L}')",
            "select forthwith.rescue('0 s', '0 s')",
            "select forthwith.keep_partitions(3, '0 s')",
            "alter table forthwith.job disable trigger all",
            "create index on forthwith.job (task)",
            "create table forthwith.mine ()",
            "create trigger t before insert on forthwith.job execute function lo_manage()",
            "drop table forthwith.job",
            "create or replace function forthwith.mine() returns int language sql as 'select 1'",
            "alter function forthwith.defer owner to current_user",
        ],
    )
    async def test_can_do_nothing_else(
        self, urls_of_roles: dict[Right, str], statement: str
    ) -> None:
        async with await connect(urls_of_roles["defer"]) as theirs:
            with pytest.raises(errors.InsufficientPrivilege):
                await theirs.execute(statement.encode())

    @pytest.mark.parametrize(
        "forged",
        [
            {"queue": ""},
            {"queue": "q" * 9000},
            {"task": "t" * 129},
            {"lock": ""},
            {"lock": "l" * 513},
            {"queueing_lock": "l" * 513},
            {"crashes_max": 0},
            {"args": "[]"},
            {"args": "5"},
        ],
        ids=lambda forged: next(iter(forged)),
    )
    async def test_cannot_forge_what_no_defer_writes(
        self, roles: Roles, forged: dict[str, Any], connection: Connection
    ) -> None:
        role = await roles.create_granted("defer")
        columns = [[value] for value in new_job(**forged)]
        parameters = dict(zip(DEFER_COLUMNS, columns, strict=False))
        async with await connect(roles.url(role)) as theirs:
            with pytest.raises(errors.CheckViolation):
                await run(theirs, "defer", **parameters, always_notify=False)
        assert await column(connection, "select count(*) from forthwith.job") == [0]

    @pytest.mark.parametrize(
        "forged",
        [
            {"queue": ""},
            {"task": "t" * 129},
            {"lock": ""},
            {"crashes_max": 0},
            {"args": "[[]]"},
            {"args": '[{}, {"a": 1}, 5]'},
            {"args": "[{}, [{}]]"},
        ],
        ids=str,
    )
    async def test_cannot_forge_a_batch_either(
        self, roles: Roles, forged: dict[str, Any], connection: Connection
    ) -> None:
        role = await roles.create_granted("defer")
        job = new_job()._asdict()
        del job["queueing_lock"]
        parameters = {**job, "args": "[{}]", "always_notify": False}
        async with await connect(roles.url(role)) as theirs:
            [(ids, _)] = await run(theirs, "defer_alike", **parameters)
            assert len(ids) == 1
            with pytest.raises(errors.CheckViolation):
                await run(theirs, "defer_alike", **{**parameters, **forged})
        assert await column(connection, "select count(*) from forthwith.job") == [1]

    async def test_learns_from_forthwith_which_grant_is_missing(
        self, roles: Roles, app: forthwith.App
    ) -> None:
        job_id = await app.configure_task("work").defer_async(to=SECRET)
        role = await roles.create_granted("defer")
        theirs = forthwith.App(roles.url(role))
        manager = theirs.job_manager
        calls: list[Callable[[], Any]] = [
            lambda: manager.get_job_async(job_id),
            manager.list_jobs_async,
            lambda: manager.cancel_job_by_id_async(job_id),
            lambda: manager.get_job_status_async(job_id),
            lambda: manager.delete_old_jobs(0),
            lambda: theirs.pause_queue_async("default"),
            lambda: theirs.resume_queue_async("default"),
            theirs.paused_queues_async,
            lambda: theirs.pause_periodic_async("work"),
            lambda: theirs.result(job_id),
            lambda: theirs.run_worker_async(wait=False, install_signal_handlers=False),
        ]
        async with theirs.open_async():
            for call in calls:
                with pytest.raises(NotPermitted, match="forthwith grant --work ROLE"):
                    await call()
        assert await status(app, job_id) == "todo"

    async def test_temporary_look_alikes_gain_nothing(
        self, roles: Roles, connection: Connection
    ) -> None:
        """A function with the owner's rights must not meet the caller's temporary objects."""
        role = await roles.create_granted("defer")
        theirs = forthwith.App(roles.url(role))
        async with theirs.open_async(), await connect(roles.url(role)) as own:
            await own.execute("create temporary table job (id int)")
            await own.execute("create domain pg_temp.text as pg_catalog.text check (false)")
            await own.execute(
                "create function pg_temp.char_length(pg_catalog.text) returns int language sql"
                " as 'select 0'"
            )
            job_id = await theirs.configure_task("work", connection=own).defer_async()
        assert await column(connection, "select id from forthwith.job") == [job_id]


class TestWhoMayOnlyWork:
    async def test_does_all_that_a_worker_does(
        self,
        roles: Roles,
        connection: Connection,
        app: forthwith.App,
        caplog: pytest.LogCaptureFixture,
        wait_until: Any,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        theirs = forthwith.App(roles.url(await roles.create_granted("work")))
        gate = asyncio.Event()

        @theirs.task(name="work")
        async def work() -> None: ...

        @theirs.task(name="fail", retry=1)
        async def fail() -> None:
            raise ValueError

        @theirs.task(name="commit", pass_context=True)
        async def commit(context: forthwith.JobContext) -> None:
            async with context.transaction() as transaction:
                await transaction.execute("select 1")

        @theirs.task(name="once", on_crash="fail")
        async def once() -> None: ...

        @theirs.task(name="hang")
        async def hang() -> None:
            await gate.wait()

        @theirs.periodic(cron="* * * * * *")
        @theirs.task(name="tick")
        async def tick(timestamp: int) -> None: ...

        def deferred(task: str, **options: Any) -> Any:
            return app.configure_task(task, **options).defer_async()

        expected = {
            await deferred("work", lock="L"): "succeeded",
            await deferred("work", lock="L"): "succeeded",
            await deferred("work", queueing_lock="Q"): "succeeded",
            await deferred("work", schedule_in={"milliseconds": 200}): "succeeded",
            await deferred("fail"): "failed",
            await deferred("commit", lock="L"): "succeeded",
            await deferred("once"): "succeeded",
        }
        orphan = await deferred("work")
        await self._claim_for_a_dead_worker(connection, orphan)
        hanging = await deferred("hang")
        cancelled = await deferred("work", schedule_in={"days": 1})
        options = {"stalled_worker_timeout": 2.0, "update_heartbeat_interval": 0.2}
        ticked = "select count(*) from forthwith.finished_job where task = 'tick'"
        async with theirs.open_async():
            async with running_worker(theirs, concurrency=4, **options):

                async def ended() -> bool:
                    seen = {job_id: await status(app, job_id) for job_id in (*expected, orphan)}
                    return seen == {**expected, orphan: "succeeded"}

                await wait_until(ended, 60)
                assert await theirs.job_manager.cancel_job_by_id_async(cancelled)
                assert await theirs.job_manager.cancel_job_by_id_async(hanging, abort=True)
                await wait_until(lambda: column(connection, ticked))
            assert await status(app, hanging) == "aborted"
            manager = theirs.job_manager
            await manager.retry_job_by_id_async(
                cancelled, retry_at=datetime.datetime.now(tz=datetime.UTC)
            )
            await run_until_idle(theirs)
            assert await status(app, cancelled) == "succeeded"
            assert (await manager.count_jobs_async())["failed"] == 1
            assert (await manager.list_attempts_async(orphan))[0].kind == "crashed"
            await manager.delete_old_jobs(0, include_failed=True)
            assert (await manager.count_jobs_async())["succeeded"] == 0
        refused = [record for record in caplog.records if "denied" in record.getMessage()]
        assert not refused

    async def _claim_for_a_dead_worker(self, connection: Connection, job_id: int) -> None:
        [worker_id] = await column(
            connection,
            "insert into forthwith.worker (name, host, pid, concurrency, last_seen, lease_expires_at)"
            " values ('dead', '', 1, 1, now() - interval '1 h', now() - interval '1 h') returning id",
        )
        await connection.execute(
            "update forthwith.job set worker_id = %s, lease_token = 1, claimed_at = now(),"
            " started_at = now() where id = %s",
            [worker_id, job_id],
        )

    async def test_makes_and_drops_partitions(self, roles: Roles, connection: Connection) -> None:
        role = await roles.create_granted("work")
        old = "forthwith.finished_job_20200101"
        await connection.execute(
            f"create table {old} partition of forthwith.finished_job"
            " for values from ('2020-01-01Z') to ('2020-01-02Z')"
        )
        async with await connect(roles.url(role)) as theirs:
            dropped = await run(theirs, "keep_partitions", days_ahead=6, retention_s=86400.0)
        assert dropped == [("finished_job_20200101",)]
        [last] = await column(
            connection, "select to_char(now() at time zone 'utc' + interval '6 days', 'YYYYMMDD')"
        )
        owners = await column(
            connection,
            "select distinct relowner from pg_class"
            " where relname in ('finished_job', %s) and relnamespace = 'forthwith'::regnamespace",
            f"finished_job_{last}",
        )
        assert len(owners) == 1

    @pytest.mark.parametrize(
        "statement",
        [
            "insert into forthwith.migration values ('9999_mine', 'x')",
            "update forthwith.migration set checksum = 'x'",
            "delete from forthwith.migration",
            "create table forthwith.mine ()",
            "create function forthwith.mine() returns int language sql as 'select 1'",
            "alter table forthwith.job add mine int",
            "alter function forthwith.rescue(interval, interval) set search_path = public",
            "create index on forthwith.job (task)",
            "drop table forthwith.finished_job_default",
            "truncate forthwith.finished_job",
            "drop schema forthwith cascade",
        ],
    )
    async def test_cannot_change_the_schema(
        self, urls_of_roles: dict[Right, str], statement: str
    ) -> None:
        async with await connect(urls_of_roles["work"]) as theirs:
            with pytest.raises(errors.InsufficientPrivilege):
                await theirs.execute(statement.encode())


class TestWhoWasGrantedNothing:
    async def test_is_told_so(self, roles: Roles) -> None:
        theirs = forthwith.App(roles.url(roles.create()))
        async with theirs.open_async():
            with pytest.raises(NotPermitted, match="forthwith grant --defer ROLE"):
                await theirs.configure_task("work").defer_async()
            with pytest.raises(NotPermitted, match="schema"):
                await theirs.schema_manager.check_async()
            with pytest.raises(NotPermitted):
                await theirs.migrate_async()

    async def test_public_has_no_rights(self, connection: Connection) -> None:
        functions = await column(
            connection,
            "select oid::regprocedure::text from pg_proc"
            " where pronamespace = 'forthwith'::regnamespace"
            " and (proacl is null or exists (select from aclexplode(proacl) where grantee = 0))",
        )
        assert functions == []
        relations = await column(
            connection,
            "select relname from pg_class cross join lateral aclexplode(relacl) acl"
            " where relnamespace = 'forthwith'::regnamespace and acl.grantee = 0",
        )
        assert relations == []
        schema = "select has_schema_privilege('public', 'forthwith', 'usage')"
        assert await column(connection, schema) == [False]

    async def test_functions_mean_postgresqls_own_names(self, connection: Connection) -> None:
        others = await column(
            connection,
            "select oid::regprocedure::text from pg_proc"
            " where pronamespace = 'forthwith'::regnamespace"
            " and not coalesce(proconfig @> '{\"search_path=pg_catalog, pg_temp\"}', false)",
        )
        assert others == []


class TestGranting:
    async def test_again_changes_nothing(self, roles: Roles, connection: Connection) -> None:
        rights: list[tuple[Right, str]] = [("defer", roles.create()), ("work", roles.create())]
        acls = "select array_agg(relacl::text order by oid)::text from pg_class"
        await grant(connection, rights)
        once = await column(connection, acls)
        await grant(connection, rights)
        assert await column(connection, acls) == once
        assert sorted(await granted(connection)) == sorted(rights)

    async def test_unknown_role_is_named_and_nothing_is_granted(
        self, roles: Roles, app: forthwith.App, connection: Connection
    ) -> None:
        name = roles.create()
        with pytest.raises(InvalidArgument, match="no role 'nobody-here'"):
            await app.schema_manager.grant_async(defer=[name], work=["nobody-here"])
        assert await granted(connection) == []

    @pytest.mark.parametrize("right", ["defer", "work"])
    async def test_is_the_owners_business(
        self, roles: Roles, connection: Connection, right: Right
    ) -> None:
        role, other = await roles.create_granted(right), roles.create()
        theirs = forthwith.App(roles.url(role))
        async with theirs.open_async():
            with pytest.raises(NotPermitted, match="owner"):
                await theirs.schema_manager.grant_async(defer=[other])
        assert await granted(connection) == [(right, role)]

    async def test_sql_is_what_it_runs(
        self, roles: Roles, app: forthwith.App, connection: Connection
    ) -> None:
        name = roles.create()
        await connection.execute(app.schema_manager.grant_sql(defer=[name]).encode())
        assert await granted(connection) == [("defer", name)]

    async def test_odd_names_are_quoted(self, app: forthwith.App) -> None:
        text = app.schema_manager.grant_sql(work=['x"; drop table forthwith.job --'])
        assert '"x""; drop table forthwith.job --"' in text

    async def test_migration_keeps_up_what_roles_can_do(
        self, roles: Roles, connection: Connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        worker, deferrer = await roles.create_granted("work"), await roles.create_granted("defer")
        later = Migration(
            "9001_later",
            "drop function forthwith.wake(text[]) cascade;"
            "create function forthwith.wake(queues text[]) returns bigint language sql"
            " as 'select 0::bigint';"
            "create function forthwith.later() returns int language sql as 'select 1';"
            "revoke execute on function forthwith.wake(text[]), forthwith.later() from public",
        )
        monkeypatch.setattr(migrate_module, "migrations", lambda: (*migrations(), later))
        await migrate(connection)
        may = "select has_function_privilege(%s, %s, 'execute')"
        for role, function, expected in (
            (worker, "forthwith.wake(text[])", True),
            (worker, "forthwith.later()", True),
            (deferrer, "forthwith.wake(text[])", True),
            (deferrer, "forthwith.later()", False),
        ):
            assert await column(connection, may, role, function) == [expected], (role, function)


class TestOwner:
    async def test_need_not_be_a_superuser(
        self, fresh_roles: Roles, empty_database_url: str
    ) -> None:
        owner, worker = fresh_roles.create("owner"), fresh_roles.create("worker")
        async with await connect(empty_database_url) as superuser:
            await superuser.execute(f'create schema forthwith authorization "{owner}"')
        async with await connect(fresh_roles.url(owner)) as connection:
            names = [migration.name for migration in migrations()]
            assert await migrate(connection) == names
            assert await migrate(connection) == []
            await grant(connection, [("work", worker)])
        app = forthwith.App(fresh_roles.url(worker))

        @app.task(name="work")
        async def work() -> None: ...

        async with app.open_async():
            job_id = await work.defer_async()
            await run_until_idle(app)
            assert await status(app, job_id) == "succeeded"
            await app.job_manager.delete_old_jobs(0)

    async def test_owns_what_a_superuser_migrates_later(
        self, fresh_roles: Roles, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else the functions that have their owner's rights would have those of a superuser."""
        owner = fresh_roles.create("owner")
        async with await connect(empty_database_url) as superuser:
            await superuser.execute(f'create schema forthwith authorization "{owner}"')
            async with await connect(fresh_roles.url(owner)) as connection:
                with monkeypatch.context() as patched:
                    patched.setattr(migrate_module, "migrations", lambda: migrations()[:1])
                    await migrate(connection)
            assert await migrate(superuser) == [migration.name for migration in migrations()[1:]]
            await check(superuser)
            for catalog, prefix in (("pg_proc", "pro"), ("pg_class", "rel")):
                query = (
                    f"select distinct pg_get_userbyid({prefix}owner)::text from {catalog}"  # noqa: S608
                    f" where {prefix}namespace = 'forthwith'::regnamespace"
                )
                owners = await column(superuser, query)
                assert owners == [owner]
