"""What ended lately, in steps of time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from forthwith.operations.tally_point import TallyPoint

if TYPE_CHECKING:
    from forthwith.store.operator_queries import OperatorQueries

STEP_MIN_S = 60
POINTS_MAX = 180


async def history(
    queries: OperatorQueries, within_s: float, queue: str | None, task: str | None
) -> list[TallyPoint]:
    """Return what ended in the last `within_s` seconds, the oldest step first."""
    rows = await queries.rows(
        "op_history",
        within_s=within_s,
        step_s=step_for(within_s),
        queue=queue,
        task=task,
    )
    return [TallyPoint(**row) for row in rows]


def step_for(within_s: float) -> int:
    """Return the length of a step: whole minutes, so that there are not too many."""
    return STEP_MIN_S * max(1, math.ceil(within_s / STEP_MIN_S / POINTS_MAX))
