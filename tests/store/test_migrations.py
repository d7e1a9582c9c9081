"""Installing the schema: fresh, again, at once, under another name; and keeping its partitions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import forthwith
from forthwith.errors import MigrationChanged, SchemaMissing, SchemaTooNew
from forthwith.store.migrate import check, migrate, migrations
from tests.store.virtual_worker import defer, new_job, run
from tests.support.workers import run_until_idle, status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.store.virtual_worker import VirtualWorker

    Connection = psycopg.AsyncConnection[Any]

NAMES = [migration.name for migration in migrations()]
PARTITIONS = """
select child.relname from pg_inherits
join pg_class child on child.oid = inhrelid
join pg_class parent on parent.oid = inhparent
where parent.relname = %s and parent.relkind = 'p' order by 1
"""


@pytest.fixture
async def empty(empty_database_url: str) -> AsyncIterator[Connection]:
    """A connection to a database without the schema."""
    async with await psycopg.AsyncConnection.connect(
        empty_database_url, autocommit=True
    ) as connection:
        yield connection


async def column(connection: Connection, query: str, *parameters: Any) -> list[Any]:
    """Return the first column of a query."""
    cursor = await connection.execute(query, parameters)
    return [row[0] for row in await cursor.fetchall()]


async def partitions(connection: Connection, parent: str) -> list[str]:
    """Return the partitions of a table."""
    return await column(connection, PARTITIONS, parent)


async def coming_days(connection: Connection, count: int) -> list[str]:
    """Return today and the `count` days after it, as partitions are named by them."""
    return await column(
        connection,
        "select to_char((now() at time zone 'utc')::date + ahead, 'YYYYMMDD')"
        " from generate_series(0, %s) ahead",
        count,
    )


class TestInstalling:
    async def test_fresh_install_applies_every_migration(self, empty: Connection) -> None:
        assert await migrate(empty) == NAMES
        await check(empty)

    async def test_second_time_is_a_no_op(self, empty: Connection) -> None:
        await migrate(empty)
        objects = (
            "select oid, xmin::text from pg_class where relnamespace = 'forthwith'::regnamespace"
        )
        before = await (await empty.execute(objects)).fetchall()
        assert await migrate(empty) == []
        assert await (await empty.execute(objects)).fetchall() == before

    async def test_several_at_once_install_it_once(self, empty_database_url: str) -> None:
        async def install() -> list[str]:
            async with await psycopg.AsyncConnection.connect(
                empty_database_url, autocommit=True
            ) as connection:
                return await migrate(connection)

        applied = await asyncio.gather(*(install() for _ in range(4)))
        assert sorted(applied) == [*([[]] * 3), NAMES]

    async def test_failure_leaves_nothing_behind(self, empty: Connection) -> None:
        await empty.execute("create schema forthwith; create table forthwith.worker (mine int)")
        with pytest.raises(psycopg.errors.DuplicateTable):
            await migrate(empty)
        tables = "select relname from pg_class where relnamespace = 'forthwith'::regnamespace"
        assert await column(empty, tables) == ["worker"]

    async def test_edited_migration_is_refused(self, connection: Connection) -> None:
        await connection.execute("update forthwith.migration set checksum = 'another'")
        with pytest.raises(MigrationChanged, match=NAMES[0]):
            await migrate(connection)
        with pytest.raises(MigrationChanged):
            await check(connection)

    async def test_schema_of_a_newer_version_is_refused(self, connection: Connection) -> None:
        await connection.execute("insert into forthwith.migration values ('9999_later', 'x')")
        with pytest.raises(SchemaTooNew, match="9999_later"):
            await migrate(connection)
        with pytest.raises(SchemaTooNew, match="upgrade forthwith"):
            await check(connection)


class TestMissingSchema:
    async def test_defer_says_which_command_to_run(self, empty_database_url: str) -> None:
        app = forthwith.App(empty_database_url)

        @app.task
        async def work() -> None: ...

        async with app.open_async():
            with pytest.raises(SchemaMissing, match="forthwith migrate"):
                await work.defer_async()

    async def test_worker_says_which_command_to_run(self, empty_database_url: str) -> None:
        app = forthwith.App(empty_database_url)
        async with app.open_async():
            with pytest.raises(SchemaMissing, match="forthwith migrate"):
                await run_until_idle(app)


class TestAnotherSchemaName:
    async def test_two_schemas_work_side_by_side(self, empty_database_url: str) -> None:
        apps = [
            forthwith.App(empty_database_url, schema=schema) for schema in ("jobs_a", "forthwith")
        ]
        ran: list[str] = []
        for app in apps:

            @app.task(name="work", retry=1)
            async def work(key: str) -> None:
                ran.append(key)
                if ran.count(key) == 1:
                    raise ValueError("the first time")

        for app in apps:
            async with app.open_async():
                assert await app.migrate_async() == NAMES
                schema = app.connector.schema
                job_ids = [
                    await app.configure_task("work", lock="L").defer_async(key=f"{schema}{number}")
                    for number in range(3)
                ]
                await run_until_idle(app, concurrency=2)
                assert {await status(app, job_id) for job_id in job_ids} == {"succeeded"}
        assert len(ran) == 12

    async def test_functions_name_no_other_schema(self, empty: Connection) -> None:
        await migrate(empty, "jobs_a")
        sources = await column(
            empty,
            "select prosrc from pg_proc where pronamespace = 'jobs_a'::regnamespace",
        )
        assert sources
        assert not [source for source in sources if "forthwith." in source]
        assert await column(empty, "select to_regnamespace('forthwith')::text") == [None]


class TestPartitions:
    async def test_they_are_made_ahead(self, connection: Connection) -> None:
        made = await partitions(connection, "finished_job")
        days = await coming_days(connection, 5)
        await run(connection, "keep_partitions", days_ahead=5, retention_s=None)
        for parent in ("finished_job", "failed_attempt"):
            ahead = {f"{parent}_{day}" for day in days}
            assert ahead <= set(await partitions(connection, parent))
        assert f"finished_job_{days[-1]}" not in made

    async def test_those_past_the_retention_are_dropped_and_no_others(
        self, connection: Connection
    ) -> None:
        await connection.execute(
            "create table forthwith.finished_job_20200101 partition of forthwith.finished_job"
            " for values from ('2020-01-01Z') to ('2020-01-02Z')"
        )
        await run(connection, "keep_partitions", days_ahead=3, retention_s=None)
        before = await partitions(connection, "finished_job")
        assert "finished_job_20200101" in before
        dropped = await run(connection, "keep_partitions", days_ahead=3, retention_s=86400.0)
        assert dropped == [("finished_job_20200101",)]
        kept = set(before) - {"finished_job_20200101"}
        assert kept <= set(await partitions(connection, "finished_job"))
        assert len(kept) >= 5  # today, three ahead, default

    async def test_rows_in_the_default_partition_move_to_their_day(
        self, worker: VirtualWorker, connection: Connection
    ) -> None:
        [today] = await column(connection, "select to_char(now() at time zone 'utc', 'YYYYMMDD')")
        for parent in ("finished_job", "failed_attempt"):
            await connection.execute(f"drop table forthwith.{parent}_{today}")
        [job_id] = await defer(connection, new_job())
        await worker.fail(*await worker.claim())
        where = "select tableoid::regclass::text from forthwith."
        assert "default" in (await column(connection, where + "finished_job"))[0]

        await run(connection, "keep_partitions", days_ahead=0, retention_s=None)

        for parent in ("finished_job", "failed_attempt"):
            [partition] = await column(connection, where + parent)
            assert partition.endswith(f"{parent}_{today}")
        assert await run(connection, "job_status", id=job_id) == [("failed",)]
