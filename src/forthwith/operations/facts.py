"""What the health page goes by."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from forthwith.store import migrate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from forthwith.operations.census import LiveCount
    from forthwith.operations.queue_state import QueueState
    from forthwith.operations.task_state import TaskState
    from forthwith.operations.worker_state import WorkerState
    from forthwith.store.operator_queries import OperatorQueries, Transaction

OLD_SNAPSHOT_S = 300.0


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who keeps vacuum from removing dead rows."""

    kind: str
    """session, prepared or slot."""
    name: str
    since: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class TableHealth:
    """One of the schema's tables, as the server's statistics tell it."""

    name: str
    live_rows: int
    dead_rows: int
    table_bytes: int
    is_left_out: bool
    """Autovacuum is off for it."""
    vacuumed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Server:
    """Settings on which durability rests."""

    fsync: bool = True
    full_page_writes: bool = True
    synchronous_commit: str = "on"
    autovacuum: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """All of it, at one time."""

    now: datetime
    """By the database's clock."""
    queues: Sequence[QueueState] = ()
    tasks: Sequence[TaskState] = ()
    workers: Sequence[WorkerState] = ()
    counts: Sequence[LiveCount] = ()
    """The live jobs, by queue and task."""
    server: Server = field(default_factory=Server)
    holders: Sequence[Holder] = ()
    tables: Sequence[TableHealth] = ()
    missing_partitions: Sequence[str] = ()
    poison_count: int = 0
    poison_last_id: int | None = None
    clock_skew_s: float = 0.0
    """How far the database's clock is ahead of ours, at the least: within the time of the answer it may
    be anything. Below zero: behind."""
    pending_migrations: Sequence[str] = ()
    unknown_migrations: Sequence[str] = ()


async def gather_facts(
    queries: OperatorQueries,
    queues: Sequence[QueueState],
    tasks: Sequence[TaskState],
    workers: Sequence[WorkerState],
    counts: Sequence[LiveCount],
) -> Facts:
    """Ask the database for what is not known yet."""
    async with queries.question() as question:
        before = datetime.now(tz=UTC)
        settings = await question.row("op_health_settings")
        after = datetime.now(tz=UTC)
        now = settings.pop("now")
        holders = await question.rows("op_health_snapshots", older_s=OLD_SNAPSHOT_S)
        tables = await question.rows("op_health_tables")
        missing = await question.rows("op_health_partitions")
        poison = await question.row("op_health_poison")
        pending, unknown = await _migrations(question, queries.schema)
    return Facts(
        now=now,
        queues=queues,
        tasks=tasks,
        workers=workers,
        counts=counts,
        server=Server(**settings),
        holders=[Holder(**row) for row in holders],
        tables=[TableHealth(**row) for row in tables],
        missing_partitions=[row["name"] for row in missing],
        poison_count=poison["count"],
        poison_last_id=poison["last_job_id"],
        clock_skew_s=skew_s(before, now, after),
        pending_migrations=pending,
        unknown_migrations=unknown,
    )


def skew_s(before: datetime, theirs: datetime, after: datetime) -> float:
    """Return how far their clock is off at the least, if it was read between two looks at ours."""
    zero: timedelta = before - before
    ahead, behind = theirs - after, before - theirs
    if ahead > zero:
        return ahead.total_seconds()
    return -behind.total_seconds() if behind > zero else 0.0


async def _migrations(question: Transaction, schema: str) -> tuple[list[str], list[str]]:
    applied = await migrate.applied_migrations(question.connection, schema)
    known = [migration.name for migration in migrate.migrations()]
    pending = [name for name in known if name not in applied]
    return pending, sorted(set(applied).difference(known))


def table_rows(tables: Sequence[TableHealth], name: str) -> int:
    """Return how many rows a table has, by the statistics."""
    return sum(table.live_rows for table in tables if table.name == name)
