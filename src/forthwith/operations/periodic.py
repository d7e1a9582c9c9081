"""Puts together what is known of periodic tasks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from croniter import CroniterError, croniter  # type: ignore[import-untyped]

from forthwith.operations.periodic_state import PeriodicState

if TYPE_CHECKING:
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
