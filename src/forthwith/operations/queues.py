"""Puts together what is known of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.operations.queue_state import QueueState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from forthwith.operations.census import Census, LiveCount
    from forthwith.operations.worker_state import WorkerState
    from forthwith.store.operator_queries import Row

LATELY_MINUTES = 5


def queue_states(
    census: Census,
    pauses: Mapping[str, datetime],
    tallies: Mapping[str, Row],
    workers: Sequence[WorkerState],
) -> list[QueueState]:
    """Return all queues that any of these know of, by name."""
    counts: dict[str, list[LiveCount]] = {}
    for count in census.counts:
        counts.setdefault(count.queue, []).append(count)
    listened = {queue for worker in workers for queue in worker.queues or ()}
    names = {*counts, *census.ready_queues, *pauses, *tallies, *listened}
    return [
        _state(name, counts.get(name, []), census, pauses.get(name), tallies.get(name), workers)
        for name in sorted(names)
    ]


def _state(
    name: str,
    counts: Sequence[LiveCount],
    census: Census,
    paused_at: datetime | None,
    tally: Row | None,
    workers: Iterable[WorkerState],
) -> QueueState:
    return QueueState(
        name=name,
        paused_at=paused_at,
        ready=sum(count.ready for count in counts),
        blocked=sum(count.blocked for count in counts),
        scheduled=sum(count.scheduled for count in counts),
        running=sum(count.running for count in counts),
        failed_last_hour=tally["failed_last_hour"] if tally else 0,
        ended_per_minute=tally["ended_lately"] / LATELY_MINUTES if tally else 0.0,
        oldest_waiting_at=min(
            (count.oldest_waiting_at for count in counts if count.oldest_waiting_at), default=None
        ),
        listeners=sum(listens(worker, name) for worker in workers),
        is_exact=census.is_exact,
    )


def listens(worker: WorkerState, queue: str) -> bool:
    """Whether a live worker listens to a queue."""
    return not worker.is_silent and (worker.queues is None or queue in worker.queues)
