"""The columns of a chart: what ended in each step of time. Pure: the template draws them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from forthwith.operations import TallyPoint

WIDTH, HEIGHT = 600, 120


@dataclass(frozen=True, slots=True)
class Column:
    """A step of time: where it is drawn, how high, and what it says."""

    x: float
    width: float
    good: float
    """The height of what succeeded."""
    bad: float
    """The height of what did not, on top of that."""
    at: datetime
    ended: int
    wrong: int


@dataclass(frozen=True, slots=True)
class Chart:
    """Columns, and what the highest one stands for."""

    columns: list[Column]
    highest: int
    """Attempts in the highest column."""
    total: int
    wrong: int
    """Of all, how many did not succeed."""
    step_s: int


def chart_of(points: Sequence[TallyPoint]) -> Chart:
    """Return the chart of a history."""
    highest = max((point.ended for point in points), default=0)
    scale = HEIGHT / highest if highest else 0.0
    width = WIDTH / max(len(points), 1)
    columns = [
        Column(
            x=round(number * width, 2),
            width=round(width * 0.8, 2),
            good=round(point.succeeded * scale, 2),
            bad=round((point.ended - point.succeeded) * scale, 2),
            at=point.at,
            ended=point.ended,
            wrong=point.ended - point.succeeded,
        )
        for number, point in enumerate(points)
    ]
    return Chart(
        columns,
        highest,
        total=sum(column.ended for column in columns),
        wrong=sum(column.wrong for column in columns),
        step_s=points[0].step_s if points else 60,
    )
