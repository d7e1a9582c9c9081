"""Procrastinate's App: making, opening, checking and loading it."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import procrastinate
import pytest

import forthwith
from forthwith import errors
from forthwith.errors import AppNotOpen, LoadFromPathError, TaskNotFound
from tests.support.workers import run_until_idle, status

if TYPE_CHECKING:
    from pathlib import Path


def nothing() -> None:
    """Do nothing."""


def test_an_app_is_a_procrastinate_app(database_url: str) -> None:
    app = forthwith.App(database_url)
    assert isinstance(app, procrastinate.App)
    assert isinstance(app.job_manager, procrastinate.manager.JobManager)
    assert isinstance(app, forthwith.Blueprint)


def test_forthwith_has_procrastinates_names() -> None:
    stays = {"BaseConnector", "PsycopgConnector", "SyncPsycopgConnector"}
    for name in set(procrastinate.__all__) - stays:
        ours, theirs = getattr(forthwith, name), getattr(procrastinate, name)
        assert ours is theirs or issubclass(ours, theirs)
    assert forthwith.Job is procrastinate.jobs.Job
    assert forthwith.JobStatus is procrastinate.jobs.Status
    assert forthwith.DeleteJobCondition is procrastinate.jobs.DeleteJobCondition


def test_exceptions_are_procrastinates_own() -> None:
    for name in (
        "AlreadyEnqueued",
        "AppNotOpen",
        "ConnectorException",
        "InvalidTimestamp",
        "JobAborted",
        "JobRetry",
        "LoadFromPathError",
        "MiddlewareKindMismatch",
        "NoResult",
        "ProcrastinateException",
        "TaskAlreadyRegistered",
        "TaskNotFound",
        "UnboundTaskError",
    ):
        assert getattr(errors, name) is getattr(procrastinate.exceptions, name)
    assert issubclass(errors.ForthwithError, procrastinate.exceptions.ProcrastinateException)
    assert issubclass(errors.DatabaseUnavailable, procrastinate.exceptions.ConnectorException)


async def test_procrastinates_own_tables_are_neither_used_nor_made(app: forthwith.App) -> None:
    tables = await app.connector.execute_query_all_async(
        "select schemaname from pg_tables where tablename like 'procrastinate%%'"
        " or (tablename = 'job' and schemaname = 'forthwith')",
        unused=1,
    )
    assert tables == [{"schemaname": "forthwith"}]


def test_an_app_is_loaded_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "loadable.py").write_text(
        "import forthwith\napp = forthwith.App('postgresql://127.0.0.1/nowhere')\nother = 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert type(forthwith.App.from_path("loadable.app")) is forthwith.App
    assert type(procrastinate.App.from_path("loadable.app")) is forthwith.App
    for path in ("loadable.other", "loadable.missing", "no_such_module.app", "loadable"):
        with pytest.raises(LoadFromPathError):
            forthwith.App.from_path(path)


async def test_import_paths_are_imported_when_a_worker_or_a_name_needs_them(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "late_tasks.py").write_text(
        "import builtins\nimport sys\n"
        "sys.modules['late_app'].app.task(name='late')(lambda: sys.modules['late_app'].ran.append(1))"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    holder: Any = type(sys)("late_app")
    monkeypatch.setitem(sys.modules, "late_app", holder)
    holder.ran = []
    holder.app = app = forthwith.App(database_url, import_paths=["late_tasks"])
    async with app.open_async():
        assert "late" not in app.tasks
        await app.configure_task("late", allow_unknown=False).defer_async()
        await run_until_idle(app)
    assert holder.ran == [1]


def test_an_app_opens_synchronously(database_url: str) -> None:
    app = forthwith.App(database_url)
    task = app.task(name="nothing")(nothing)
    with app.open() as opened:
        assert opened is app
        assert app.job_manager.get_job(task.defer()) is not None
    opened_by_hand = app.open()
    assert opened_by_hand is app
    assert task.defer() == 2
    app.close()


async def test_an_app_opens_asynchronously(database_url: str) -> None:
    app = forthwith.App(database_url)
    task = app.task(name="nothing")(nothing)
    async with app.open_async() as opened:
        assert opened is app
        assert await task.defer_async() == 1
    assert await app.open_async() is app
    assert await task.defer_async() == 2
    await app.close_async()


async def test_an_app_that_nobody_opened_opens_by_itself(database_url: str) -> None:
    stock = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database_url))
    with pytest.raises(AppNotOpen):
        await stock.task(name="nothing")(nothing).defer_async()
    app = forthwith.App(database_url)
    assert await app.task(name="nothing")(nothing).defer_async() == 1
    await app.close_async()


def test_a_sync_program_needs_no_open(database_url: str) -> None:
    app = forthwith.App(database_url)
    assert app.task(name="nothing")(nothing).defer() == 1
    app.close()


async def test_the_connection_and_the_schema_can_be_checked(
    database_url: str, empty_database_url: str
) -> None:
    for url, has_schema in ((database_url, True), (empty_database_url, False)):
        async with forthwith.App(url).open_async() as app:
            assert await app.check_connection_async() is has_schema
        assert app.check_connection() is has_schema
        app.close()


def test_the_schema_is_applied_again_without_harm(empty_database_url: str) -> None:
    with forthwith.App(empty_database_url).open() as app:
        app.schema_manager.apply_schema()
        app.schema_manager.apply_schema()
        assert app.check_connection()
        assert "create table" in app.schema_manager.get_schema()
        assert app.schema_manager.get_migrations_path().endswith("migrations")


async def test_the_schema_is_applied_asynchronously(empty_database_url: str) -> None:
    async with forthwith.App(empty_database_url).open_async() as app:
        await app.schema_manager.apply_schema_async()
        assert await app.check_connection_async()


def test_the_schemas_sql_installs_it(empty_database_url: str) -> None:
    import psycopg

    with psycopg.connect(empty_database_url, autocommit=True) as connection:
        connection.execute(forthwith.App(empty_database_url).schema_manager.get_schema())
    with forthwith.App(empty_database_url).open() as app:
        assert app.check_connection()


async def test_a_job_is_configured_by_its_tasks_name(app: forthwith.App) -> None:
    app.task(name="known", queue="mail", lock="l")(nothing)
    known = await app.configure_task("known", priority=3).defer_async()
    unknown = await app.configure_task("elsewhere", queue="far").defer_async(a=1)
    jobs = {job.id: job for job in await app.job_manager.list_jobs_async()}
    assert (jobs[known].queue, jobs[known].lock, jobs[known].priority) == ("mail", "l", 3)
    assert (jobs[unknown].queue, jobs[unknown].task_kwargs) == ("far", {"a": 1})
    with pytest.raises(TaskNotFound):
        app.configure_task("elsewhere", allow_unknown=False)


async def test_worker_defaults_hold_until_overridden(database_url: str) -> None:
    app = forthwith.App(database_url, worker_defaults={"queues": ["a"], "delete_jobs": "always"})
    task = app.task(name="nothing")(nothing)
    async with app.open_async():
        in_a = await task.configure(queue="a").defer_async()
        in_b = await task.configure(queue="b").defer_async()
        await run_until_idle(app)
        assert await status(app, in_a) is None
        assert await status(app, in_b) == "todo"
        await run_until_idle(app, queues=["b"], delete_jobs="never")
        assert await status(app, in_b) == "succeeded"


def test_a_sync_program_runs_a_worker(database_url: str) -> None:
    app = forthwith.App(database_url)
    ran: list[int] = []

    @app.task(name="note")
    def note(number: int) -> None:
        ran.append(number)

    with app.open():
        note.batch_defer({"number": 1}, {"number": 2})
    assert app.run_worker(wait=False, install_signal_handlers=False) is None  # type: ignore[func-returns-value]
    assert sorted(ran) == [1, 2]
    app.close()


def test_run_worker_sets_the_heap_aside_until_it_is_over(database_url: str) -> None:
    app = forthwith.App(database_url)
    set_aside: list[int] = []

    @app.task(name="note")
    async def note() -> None:
        set_aside.append(gc.get_freeze_count())

    with app.open():
        note.defer()
    app.run_worker(wait=False, install_signal_handlers=False)
    app.close()
    assert set_aside[0] > 10_000  # all modules, and what they hold
    assert gc.get_freeze_count() == 0


def test_an_app_in_the_script_that_runs_is_warned_of(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import forthwith\nforthwith.App('postgresql://x/y')\n")
    (tmp_path / "good.py").write_text("import script\n")
    for name, warned in (("script.py", True), ("good.py", False)):
        ran = subprocess.run(
            [sys.executable, name], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert ("is made in the script that runs" in ran.stderr) is warned


async def test_builtin_tasks_have_their_names_in_each_app_of_a_process(
    app: forthwith.App, database_url: str
) -> None:
    second = forthwith.App(database_url)
    for each in (app, second):
        for name in (
            "builtin:procrastinate.builtin_tasks.remove_old_jobs",
            "procrastinate.builtin_tasks.remove_old_jobs",
        ):
            assert each.tasks[name].blueprint is each


async def test_the_builtin_task_removes_old_jobs(app: forthwith.App, connection: Any) -> None:
    from procrastinate import builtin_tasks

    @app.task(name="fails")
    async def fails() -> None:
        raise ValueError

    done = [await app.task(name="nothing")(nothing).defer_async(), await fails.defer_async()]
    await run_until_idle(app)
    await connection.execute(
        "update forthwith.finished_job set finished_at = finished_at - interval '3 hours'"
    )
    await builtin_tasks.remove_old_jobs.configure(queueing_lock="remove").defer_async(max_hours=2)
    await run_until_idle(app)
    assert [await status(app, job_id) for job_id in done] == [None, "failed"]
    await app.configure_task(
        "procrastinate.builtin_tasks.remove_old_jobs", queue="builtin"
    ).defer_async(max_hours=2, remove_failed=True, queue="default")
    await run_until_idle(app, queues=["builtin"])
    assert await status(app, done[1]) is None


async def test_a_builtin_task_can_be_called_from_a_task_of_ones_own(
    app: forthwith.App, connection: Any
) -> None:
    from procrastinate import builtin_tasks

    @app.task(name="clean", pass_context=True, queue="upkeep")
    async def clean(context: forthwith.JobContext) -> None:
        await builtin_tasks.remove_old_jobs(context, max_hours=2, queue="default")

    done = await app.task(name="nothing")(nothing).defer_async()
    await run_until_idle(app)
    await connection.execute(
        "update forthwith.finished_job set finished_at = finished_at - interval '3 hours'"
    )
    cleaning = await clean.defer_async()
    await run_until_idle(app)
    assert await status(app, cleaning) == "succeeded"
    assert await status(app, done) is None


async def test_logs_never_show_a_jobs_arguments(
    app: forthwith.App, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    @app.task(name="whisper")
    async def whisper(word: str) -> None:
        raise ValueError("failed")

    await whisper.defer_async(word="swordfish")
    await run_until_idle(app)
    ours = [record for record in caplog.records if record.name.startswith(("forthwith", "procr"))]
    assert {"jobs_deferred", "job_failed"} <= {getattr(record, "action", "") for record in ours}
    assert not any("swordfish" in repr(vars(record)) for record in ours)
