"""Which rows of a long table a page shows, where there is a queue for each customer, say."""

from __future__ import annotations

from heapq import nlargest
from operator import attrgetter
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forthwith.operations import QueueState, TaskState

Row = TypeVar("Row")

OVERVIEW_ROWS_MAX = 50
ROWS_MAX = 500


class Chosen(NamedTuple, Generic[Row]):
    """The rows to show, by name."""

    rows: Sequence[Row]
    left_out: int
    """How many rows there are besides."""


def chosen_queues(queues: Sequence[QueueState], rows_max: int = ROWS_MAX) -> Chosen[QueueState]:
    """Return the queues with most to do or to worry about: paused ones first, then by jobs."""
    return _chosen(queues, lambda queue: (queue.paused_at is not None, _jobs_of(queue)), rows_max)


def chosen_tasks(tasks: Sequence[TaskState], rows_max: int = ROWS_MAX) -> Chosen[TaskState]:
    """Return the tasks with most jobs, those that are known before others."""
    return _chosen(
        tasks,
        lambda task: (task.is_known, task.waiting + task.running + task.ended_last_hour),
        rows_max,
    )


def _jobs_of(queue: QueueState) -> float:
    return queue.waiting + queue.running + queue.failed_last_hour + queue.ended_per_minute


def _chosen(
    rows: Sequence[Row], weight: Callable[[Row], tuple[bool, float]], rows_max: int
) -> Chosen[Row]:
    if len(rows) <= rows_max:
        return Chosen(rows, 0)
    heaviest = nlargest(rows_max, rows, key=weight)
    return Chosen(sorted(heaviest, key=attrgetter("name")), len(rows) - rows_max)
