"""What the lab must know of a queue to observe it. `FORTHWITH` is ours; tests observe another one, too."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, LiteralString

from forthwith.store.statements import in_schema
from forthwith.verify.tasks import lab_app

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from forthwith.verify.diary import Diary


@dataclass(frozen=True, slots=True)
class System:
    """A queue with Procrastinate's API. In the queries `{schema}` stands for the quoted schema."""

    worker_program: str
    """The module that `python -m` runs as a worker; it takes worker_main's settings."""
    make_app: Callable[[str, str, Diary, Path], Any]
    """An app with the lab's tasks, by URL, schema, diary and the lab's directory."""
    migrate: Callable[[Any], Awaitable[None]]
    audit_sql: Callable[[str, float], str]
    """What writes the tables `audit` and `effect` (see audit.sql), by schema and lease in seconds."""
    ready: LiteralString
    """How many of the workers with these names (%s) are ready?"""
    unfinished: LiteralString
    """How many jobs are not final?"""
    jobs: LiteralString
    """A row for each job: the fields of FinalJob."""


def _audit_sql(schema: str, _lease_s: float) -> str:
    text = (resources.files("forthwith.verify") / "audit.sql").read_text("utf-8")
    return in_schema(text, schema)


async def _migrate(app: Any) -> None:
    await app.migrate_async()


FORTHWITH = System(
    worker_program="forthwith.verify.worker_main",
    make_app=lab_app,
    migrate=_migrate,
    audit_sql=_audit_sql,
    ready="select count(*) from {schema}.worker where name = any (%s)",
    unfinished="select count(*) from {schema}.job",
    jobs="""
        select id, coalesce(args ->> 'key', ''), task, status, attempts, crashes, lease_token, (
            select count(*) from {schema}.failed_attempt
            where failed_attempt.job_id = job.id and failed_attempt.kind = 'crashed')
        from (
            select id, args, task, status::text, attempts, crashes, lease_token
            from {schema}.finished_job
            union all
            select id, args, task, case when worker_id is null then 'todo' else 'doing' end,
                attempts, crashes, lease_token
            from {schema}.job
        ) job
        order by id
    """,
)
