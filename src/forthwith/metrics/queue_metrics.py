"""What the database tells Prometheus, through the dashboard: queues and workers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client import Metric

    from forthwith.operations import LiveCount, QueueState, WorkerState

QUEUES_MAX = 1000
"""Of how many queues is told: those with the most jobs."""
TASKS_MAX = 1000
"""Of how many tasks in a queue they are told by task, in all: those with the most jobs."""
STATES = ("ready", "blocked", "scheduled", "running")


class QueueMetrics:
    """The metrics of all queues and workers, as they were found."""

    def __init__(
        self,
        queues: Sequence[QueueState],
        counts: Sequence[LiveCount],
        workers: Sequence[WorkerState],
    ) -> None:
        self._queues = sorted(queues, key=_size, reverse=True)[:QUEUES_MAX]
        self._counts = sorted(counts, key=_size, reverse=True)
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """Yield all metric families."""
        yield self._jobs()
        yield self._ages()
        yield self._per_queue(
            "queue_paused",
            "1 where nobody claims, for the queue is paused.",
            [queue.paused_at is not None for queue in self._queues],
        )
        yield self._per_queue(
            "queue_listeners",
            "Live workers that listen to a queue.",
            [queue.listeners for queue in self._queues],
        )
        workers = GaugeMetricFamily(
            "forthwith_workers", "Registered workers, live or silent.", labels=["state"]
        )
        silent = sum(worker.is_silent for worker in self._workers)
        workers.add_metric(["live"], len(self._workers) - silent)
        workers.add_metric(["silent"], silent)
        yield workers

    def _jobs(self) -> Metric:
        """By queue and task. Jobs of the smaller tasks are told together, as of a task without a name."""
        family = GaugeMetricFamily(
            "forthwith_jobs",
            "Jobs that have not ended; at least so many, where there are too many to count.",
            labels=["queue", "task", "state"],
        )
        others = {queue.name: dict.fromkeys(STATES, 0) for queue in self._queues}
        told = [count for count in self._counts if count.queue in others]
        for count in told[:TASKS_MAX]:
            for state in STATES:
                family.add_metric([count.queue, count.task, state], getattr(count, state))
        for count in told[TASKS_MAX:]:
            for state in STATES:
                others[count.queue][state] += getattr(count, state)
        for queue, numbers in others.items():
            for state, number in numbers.items():
                family.add_metric([queue, "", state], number)
        return family

    def _ages(self) -> Metric:
        now = datetime.now(UTC)
        return self._per_queue(
            "oldest_waiting_seconds",
            "For how long the first of the ready jobs could have been claimed.",
            [
                max(0.0, (now - queue.oldest_waiting_at).total_seconds())
                if queue.oldest_waiting_at is not None
                else 0.0
                for queue in self._queues
            ],
        )

    def _per_queue(self, name: str, text: str, values: Sequence[float]) -> Metric:
        family = GaugeMetricFamily(f"forthwith_{name}", text, labels=["queue"])
        for queue, value in zip(self._queues, values, strict=True):
            family.add_metric([queue.name], value)
        return family


def _size(counted: QueueState | LiveCount) -> int:
    return counted.waiting + counted.running
