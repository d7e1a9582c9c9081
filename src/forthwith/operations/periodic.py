"""Puts together what is known of periodic tasks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NoReturn

from croniter import CroniterError, croniter  # type: ignore[import-untyped]

from forthwith import upstream
from forthwith.errors import InvalidArgument
from forthwith.operations.jobs import decoded
from forthwith.operations.periodic_state import PeriodicState

if TYPE_CHECKING:
    from forthwith.app import App
    from forthwith.store.operator_queries import OperatorQueries


async def periodic_states(queries: OperatorQueries) -> list[PeriodicState]:
    """Return the periodic tasks that workers have told of."""
    async with queries.question() as question:
        now = (await question.row("op_now"))["now"]
        rows = await question.rows("op_periodic")
    return [PeriodicState(**row, next_at=next_tick(row["cron"], now)) for row in rows]


def next_tick(cron: str, after: datetime) -> datetime | None:
    """Return the first tick after a time, as Procrastinate finds it; None if the cron is none."""
    try:
        tick: float = croniter(cron).get_next(ret_type=float, start_time=after.timestamp())
    except (CroniterError, ValueError):
        return None
    return datetime.fromtimestamp(tick, UTC)


async def run_now(app: App, queries: OperatorQueries, task: str, periodic_id: str) -> int:
    """Defer a job of a periodic task, as a tick would; return its id.

    Where this app does not have the task, the options are those of its last tick's job.
    """
    now = datetime.now(tz=UTC)
    upstream.import_tasks(app)
    registered = app.periodic_registry.periodic_tasks.get((task, periodic_id))
    if registered is not None:
        options: dict[str, Any] = {**registered.configure_kwargs}
        arguments = {**(options.pop("task_kwargs", None) or {}), "timestamp": int(now.timestamp())}
        return int(await registered.task.configure(**options).defer_async(**arguments))
    states = {(state.task, state.periodic_id): state for state in await periodic_states(queries)}
    if (task, periodic_id) not in states:
        _refuse(task, periodic_id)
    options, arguments = await _like_last(queries, states[task, periodic_id])
    deferrer = app.configure_task(task, **options)
    return int(await deferrer.defer_async(**{**arguments, "timestamp": int(now.timestamp())}))


async def _like_last(
    queries: OperatorQueries, known: PeriodicState
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return options and arguments of the last tick's job, as far as it is still there."""
    rows = [] if known.last_job_id is None else await queries.rows("op_job", id=known.last_job_id)
    if not rows:
        return {"queue": known.queue}, {}
    options = {name: rows[0][name] for name in ("queue", "priority", "lock", "queueing_lock")}
    return options, decoded(rows[0]["args"])


def _refuse(task: str, periodic_id: str) -> NoReturn:
    named = f"{task!r} with periodic_id {periodic_id!r}" if periodic_id else repr(task)
    raise InvalidArgument("task", f"no worker has told of a periodic task {named}")
