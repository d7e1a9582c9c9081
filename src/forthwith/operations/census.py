"""How many live jobs there are, by queue and task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forthwith.store.operator_pool import TooSlow

if TYPE_CHECKING:
    from datetime import datetime

    from forthwith.store.operator_queries import OperatorQueries

ROWS_MAX = 2_000_000
ROWS_MAX_IN_HASTE = 100_000


@dataclass(frozen=True, slots=True)
class LiveCount:
    """Live jobs that have queue and task in common."""

    queue: str
    task: str
    running: int
    ready: int
    blocked: int
    scheduled: int
    oldest_waiting_at: datetime | None

    @property
    def waiting(self) -> int:
        """Jobs that nobody has claimed."""
        return self.ready + self.blocked + self.scheduled


@dataclass(frozen=True, slots=True)
class Census:
    """All live jobs, or as many as could be counted in the time of a question."""

    as_of: datetime
    counts: list[LiveCount]
    ready_queues: list[str]
    """All queues that have a ready job, whether it was counted or not."""
    is_exact: bool


async def take_census(queries: OperatorQueries, rows_max: int = ROWS_MAX) -> Census:
    """Count the live jobs, up to `rows_max` of them; fewer, where that takes too long."""
    try:
        return await _counted(queries, rows_max)
    except TooSlow:
        return await _counted(queries, min(rows_max, ROWS_MAX_IN_HASTE))


async def _counted(queries: OperatorQueries, rows_max: int) -> Census:
    async with queries.question() as question:
        now = (await question.row("op_now"))["now"]
        hop = await question.rows("ready_queues", queues=None)
        await question.set_local(b"set local enable_seqscan = on")
        rows = await question.rows("op_census", cap=rows_max)
    counts = [LiveCount(**row) for row in rows]
    counted = sum(count.waiting + count.running for count in counts)
    return Census(now, counts, [row["queue"] for row in hop], counted < rows_max)
