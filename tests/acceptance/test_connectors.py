"""Connectors and pools from outside, custom JSON, and what stands in for the database in tests."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

import procrastinate
import psycopg_pool
import pytest
from procrastinate.connector import BaseConnector
from procrastinate.testing import InMemoryConnector

import forthwith
from forthwith.errors import DatabaseUnavailable, InvalidArgument
from tests.support.workers import run_until_idle, status

if TYPE_CHECKING:
    from collections.abc import Callable

NOWHERE = "postgresql://127.0.0.1:1/nowhere"


def with_task(app: forthwith.App) -> tuple[Any, list[int]]:
    """Return a task of `app`, and the numbers that it has run with."""
    ran: list[int] = []

    @app.task(name="note")
    async def note(number: int) -> None:
        ran.append(number)

    return note, ran


async def runs(app: forthwith.App) -> bool:
    """Whether a job is deferred and run."""
    note, ran = with_task(app)
    await note.defer_async(number=1)
    await run_until_idle(app)
    return ran == [1]


@pytest.mark.parametrize(
    "connector", [procrastinate.PsycopgConnector, procrastinate.SyncPsycopgConnector]
)
async def test_of_a_psycopg_connector_the_connection_parameters_are_taken(
    database_url: str, connector: Callable[..., BaseConnector]
) -> None:
    app = forthwith.App(
        connector=connector(
            conninfo=database_url,
            kwargs={"application_name": "shop", "autocommit": False},
            min_size=2,
        )
    )
    async with app.open_async():
        assert await runs(app)
        rows = await app.connector.execute_query_all_async("show application_name")
    assert rows == [{"application_name": "shop"}]


async def test_a_connector_and_a_url_exclude_each_other(database_url: str) -> None:
    with pytest.raises(InvalidArgument, match="connector"):
        forthwith.App(database_url, connector=InMemoryConnector())


@pytest.mark.parametrize("autocommit", [False, True])
async def test_an_external_pool_is_used_and_left_open(database_url: str, autocommit: bool) -> None:
    app = forthwith.App(NOWHERE)
    async with psycopg_pool.AsyncConnectionPool(
        database_url, open=False, kwargs={"autocommit": autocommit}, min_size=1
    ) as pool:
        async with app.open_async(pool):
            assert await runs(app)
        assert not pool.closed
        assert pool.get_stats()["requests_num"] > 0


def test_an_external_sync_pool_says_where_the_database_is(database_url: str) -> None:
    app = forthwith.App(connector=procrastinate.PsycopgConnector(conninfo=NOWHERE))
    note, _ = with_task(app)
    with psycopg_pool.ConnectionPool(database_url, open=False, min_size=1) as pool:
        with app.open(pool):
            assert app.job_manager.get_job(note.defer(number=1)) is not None
        assert not pool.closed


class When:
    """A value that JSON does not know."""

    def __init__(self, at: datetime.date) -> None:
        self.at = at


def dumps(value: Any) -> str:
    return json.dumps(value, default=lambda when: {"when": when.at.isoformat()})


def loads(text: str) -> Any:
    def decode(members: dict[str, Any]) -> Any:
        if "when" in members:
            return When(datetime.date.fromisoformat(members["when"]))
        return members

    return json.loads(text, object_hook=decode)


async def test_a_connectors_json_encoder_and_decoder_are_used(database_url: str) -> None:
    app = forthwith.App(
        connector=procrastinate.PsycopgConnector(
            conninfo=database_url, json_dumps=dumps, json_loads=loads
        )
    )
    seen: list[Any] = []

    class Once(procrastinate.BaseRetryStrategy):
        def get_retry_decision(
            self,
            *,
            exception: BaseException,  # noqa: ARG002 -- Procrastinate's signature
            job: procrastinate.jobs.Job,
        ) -> forthwith.RetryDecision | None:
            seen.append(job.task_kwargs["at"])
            return None

    @app.task(name="remember", pass_context=True, retry=Once())
    async def remember(context: forthwith.JobContext, at: When) -> None:
        seen.extend([at, context.job.task_kwargs["at"]])
        raise ValueError

    async with app.open_async():
        await remember.defer_async(at=When(datetime.date(2026, 1, 2)))
        await run_until_idle(app)
        (job,) = await app.job_manager.list_jobs_async()
    seen.append(job.task_kwargs["at"])
    assert [one.at.day for one in seen] == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("DjangoConnector", "procrastinate.contrib.django.django_connector"),
        ("SQLAlchemyPsycopg2Connector", "procrastinate.contrib.sqlalchemy.psycopg2_connector"),
        ("Psycopg2Connector", "procrastinate.contrib.psycopg2.psycopg2_connector"),
        ("AiopgConnector", "procrastinate.contrib.aiopg.aiopg_connector"),
    ],
)
async def test_connectors_of_other_drivers_are_refused_with_advice(
    app: forthwith.App, name: str, module: str
) -> None:
    # The drivers are no dependency: a class that claims to come from there stands for them.
    connector = type(name, (BaseConnector,), {"__module__": module})()
    with pytest.raises(InvalidArgument, match=f"{name} is not supported.*URL"):
        forthwith.App(connector=connector)
    with (
        pytest.raises(InvalidArgument, match=f"{name} is not supported.*URL"),
        app.replace_connector(connector),
    ):
        pass


def test_with_the_in_memory_connector_unit_tests_keep_running(app: forthwith.App) -> None:
    note, ran = with_task(app)
    with app.replace_connector(InMemoryConnector()) as replaced:
        assert replaced is app
        job_id = note.configure(lock="l", priority=2).defer(number=1)
        note.batch_defer({"number": 2}, {"number": 3})
        rows = replaced.connector.jobs  # type: ignore[attr-defined]
        assert len(rows) == 3
        assert rows[job_id]["task_name"] == "note"
        assert (rows[job_id]["lock"], rows[job_id]["args"]) == ("l", {"number": 1})
        app.run_worker(wait=False, install_signal_handlers=False)
        assert {row["status"] for row in rows.values()} == {"succeeded"}
        replaced.connector.reset()  # type: ignore[attr-defined]
        assert not replaced.connector.jobs  # type: ignore[attr-defined]
    assert sorted(ran) == [1, 2, 3]
    assert app.job_manager.list_jobs() == []


async def test_an_app_on_the_in_memory_connector_works_as_procrastinates(
    wait_until: Callable[..., Any],
) -> None:
    app = forthwith.App(connector=InMemoryConnector())
    note, ran = with_task(app)
    contexts = []

    @app.task(name="look", pass_context=True, retry=1)
    def look(context: procrastinate.JobContext) -> None:
        contexts.append((context.job.attempts, hasattr(context, "transaction")))
        if not context.job.attempts:
            raise ValueError

    async with app.open_async():
        await note.defer_async(number=1)
        job_id = await look.defer_async()
        await app.run_worker_async(wait=False, install_signal_handlers=False)
        jobs = await app.job_manager.list_jobs_async()
        assert {job.status for job in jobs} == {"succeeded"}
        assert await app.job_manager.get_job_status_async(job_id)
        assert await app.check_connection_async()
    assert ran == [1]
    assert contexts == [(0, False), (1, False)]


async def test_a_connector_is_replaced_for_a_block(
    app: forthwith.App, databases: Any, database_url: str
) -> None:
    note, _ = with_task(app)
    name, other_url = databases.create_clone()
    before = app.connector
    with app.replace_connector(procrastinate.PsycopgConnector(conninfo=other_url)) as replaced:
        async with replaced.open_async():
            elsewhere = await note.defer_async(number=1)
            assert await status(app, elsewhere) == "todo"
    assert app.connector is before
    assert await app.job_manager.list_jobs_async() == []
    databases.drop(name)


def test_what_was_configured_before_the_replacement_keeps_its_connector(
    app: forthwith.App,
) -> None:
    note, _ = with_task(app)
    deferrer = note.configure()
    with app.replace_connector(InMemoryConnector()) as replaced:
        deferrer.defer(number=1)
        assert not replaced.connector.jobs  # type: ignore[attr-defined]
    assert len(app.job_manager.list_jobs()) == 1


async def test_an_app_with_another_connector_has_the_same_tasks(
    empty_database_url: str,
) -> None:
    app = forthwith.App(NOWHERE, schema="shop_jobs")
    with_task(app)
    other = app.with_connector(procrastinate.PsycopgConnector(conninfo=empty_database_url))
    assert other.tasks is app.tasks
    assert other.periodic_registry is app.periodic_registry
    async with other.open_async():
        await other.migrate_async()
        assert other.connector.schema == app.connector.schema
        job_id = await other.configure_task("elsewhere").defer_async()
        assert await status(other, job_id) == "todo"


async def test_a_database_that_is_not_there_is_told_clearly() -> None:
    app = forthwith.App(NOWHERE)
    note, _ = with_task(app)
    with pytest.raises(DatabaseUnavailable):
        await note.defer_async(number=1)
    with pytest.raises(procrastinate.exceptions.ConnectorException):
        async with app.open_async():
            pass
    await app.close_async()


async def test_sql_runs_through_the_connector(app: forthwith.App) -> None:
    connector = app.connector
    query = "select %(number)s::int as number"
    assert await connector.execute_query_one_async(query, number=3) == {"number": 3}
    assert connector.execute_query_all(query, number=4) == [{"number": 4}]
    await connector.execute_query_async("create table made (x jsonb)")
    connector.execute_query("insert into made values (%(x)s)", x={"a": 1})
    assert connector.execute_query_one("select x from made") == {"x": {"a": 1}}
    assert connector.get_sync_connector() is connector
    with pytest.raises(forthwith.errors.NoResult):
        connector.execute_query_one("select 1 where false")
