"""Stock Procrastinate as a system of the lab: the same tasks, diaries, audit and checkers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import procrastinate

from forthwith.verify.system import System
from forthwith.verify.tasks import LabTasks

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith.verify.diary import Diary

ASYNC_TASKS = {"work": {}, "block": {}, "gate": {}, "flaky": {"retry": 20}}
SYNC_TASKS = ("threaded", "gate_in_thread")


@dataclass(frozen=True, slots=True)
class StockContext:
    """Procrastinate's context, as the lab's tasks use it. Its claims have no tokens."""

    job: Any
    worker_name: str | None
    lease_token: None = None


def stock_app(url: str, schema: str, diary: Diary, home: Path) -> procrastinate.App:
    """Return a stock app with those of the lab's tasks that need nothing of ours."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))
    tasks = LabTasks(diary, home, schema)
    for name, options in ASYNC_TASKS.items():
        app.task(name=name, pass_context=True, **options)(_async(getattr(tasks, name)))
    for name in SYNC_TASKS:
        app.task(name=name, pass_context=True)(_sync(getattr(tasks, name)))
    return app


def _async(method: Callable[..., Any]) -> Callable[..., Any]:
    async def run(context: procrastinate.JobContext, **arguments: Any) -> None:
        await method(StockContext(context.job, context.worker_name), **arguments)

    return run


def _sync(method: Callable[..., Any]) -> Callable[..., Any]:
    def run(context: procrastinate.JobContext, **arguments: Any) -> None:
        method(StockContext(context.job, context.worker_name), **arguments)

    return run


async def _migrate(app: procrastinate.App) -> None:
    await app.schema_manager.apply_schema_async()


def _audit_sql(_schema: str, lease_s: float) -> str:
    return (Path(__file__).parent / "audit.sql").read_text("utf-8").replace("LEASE_S", str(lease_s))


STOCK = System(
    worker_program="tests.verify.stock.worker",
    make_app=stock_app,
    migrate=_migrate,
    audit_sql=_audit_sql,
    ready="""
        select count(distinct name) from {schema}.audit where relation = 'worker' and name = any (%s)
    """,
    unfinished="""
        select count(*) from {schema}.procrastinate_jobs where status in ('todo', 'doing')
    """,
    jobs="""
        select id, coalesce(args ->> 'key', ''), task_name, status::text, attempts, 0, null::bigint, (
            select count(*) from {schema}.audit
            where audit.id = procrastinate_jobs.id and audit.relation = 'job'
                and audit.actor = 'rescuer' and audit.after = 'todo')
        from {schema}.procrastinate_jobs order by id
    """,
)
