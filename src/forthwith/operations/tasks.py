"""Puts together what is known of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith import upstream
from forthwith.histogram import quantile_s
from forthwith.operations.task_state import TaskState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from forthwith.operations.census import Census, LiveCount
    from forthwith.operations.worker_state import WorkerState
    from forthwith.store.operator_queries import Row

NOTHING_ENDED: Row = {
    "ended_last_hour": 0,
    "failed_last_hour": 0,
    "unsuccessful": 0,
    "run_s": 0.0,
    "wait_s": 0.0,
    "run_counts": [],
    "wait_counts": [],
}


def task_states(
    census: Census,
    tallies: Mapping[str, Row],
    workers: Sequence[WorkerState],
    known_here: Collection[str],
) -> list[TaskState]:
    """Return all tasks that any of these know of, by name; those that every app has if they have jobs."""
    counts: dict[str, list[LiveCount]] = {}
    for count in census.counts:
        counts.setdefault(count.task, []).append(count)
    told = {task for worker in workers for task in worker.tasks_known or ()}
    known = {task for task in told.union(known_here) if not upstream.is_builtin(task)}
    names = {*counts, *tallies, *known}
    return [
        _state(
            name,
            counts.get(name, []),
            tallies.get(name, NOTHING_ENDED),
            known_by=sum(knows(worker, name) for worker in workers),
            is_known_here=name in known_here,
            is_exact=census.is_exact,
        )
        for name in sorted(names)
    ]


def _state(
    name: str,
    counts: Sequence[LiveCount],
    tally: Row,
    *,
    known_by: int,
    is_known_here: bool,
    is_exact: bool,
) -> TaskState:
    ended = tally["ended_last_hour"]
    return TaskState(
        name=name,
        is_known=is_known_here or known_by > 0,
        known_by=known_by,
        waiting=sum(count.waiting for count in counts),
        running=sum(count.running for count in counts),
        ended_last_hour=ended,
        failed_last_hour=tally["failed_last_hour"],
        failure_rate=tally["unsuccessful"] / ended if ended else None,
        run_p50_s=quantile_s(tally["run_counts"], 0.5, tally["run_s"]),
        run_p95_s=quantile_s(tally["run_counts"], 0.95, tally["run_s"]),
        wait_p50_s=quantile_s(tally["wait_counts"], 0.5, tally["wait_s"]),
        wait_p95_s=quantile_s(tally["wait_counts"], 0.95, tally["wait_s"]),
        is_exact=is_exact,
    )


def knows(worker: WorkerState, task: str) -> bool:
    """Whether a live worker says that it can run a task."""
    return not worker.is_silent and task in (worker.tasks_known or ())
