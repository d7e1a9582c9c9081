"""Says in plain sentences why a job does not run yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forthwith.operations.queues import listens
from forthwith.operations.tasks import knows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from forthwith.operations.job_summary import JobSummary
    from forthwith.operations.worker_state import WorkerState

AHEAD_MAX = 1000


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a job that waits depends on."""

    paused_at: datetime | None
    holder_id: int | None
    """Another job at the head of its lock's line."""
    holder_worker_id: int | None
    holder_queue: str | None
    ahead_in_line: int
    ahead_in_queue: int


def waits_for(
    job: JobSummary, surroundings: Surroundings, workers: Sequence[WorkerState]
) -> list[str]:
    """Return why a job waits, the decisive reason first; empty if it does not wait."""
    if job.status != "todo":
        return []
    obstacles = [*_obstacles(job, surroundings, workers)]
    return [*obstacles, *_turn(job, surroundings, "then" if obstacles else "ready:")]


def _obstacles(
    job: JobSummary, surroundings: Surroundings, workers: Sequence[WorkerState]
) -> Iterator[str]:
    """Yield what keeps it from being claimed, however long it waits."""
    if job.state == "scheduled":
        assert job.scheduled_at is not None
        yield f"due at {told(job.scheduled_at)}"
    if surroundings.paused_at is not None:
        yield f"queue {job.queue!r} is paused since {told(surroundings.paused_at)}"
    if surroundings.holder_id is not None:
        yield _behind(job, surroundings)
    listeners = [worker for worker in workers if listens(worker, job.queue)]
    if not listeners:
        yield f"no worker listens to queue {job.queue!r}"
    elif all(
        worker.tasks_known is not None and not knows(worker, job.task) for worker in listeners
    ):
        yield f"no worker knows the task {job.task!r}"


def _behind(job: JobSummary, surroundings: Surroundings) -> str:
    if surroundings.holder_worker_id is not None:
        what = f"running on worker {surroundings.holder_worker_id}"
    else:
        what = f"waiting in queue {surroundings.holder_queue!r}"
    between = surroundings.ahead_in_line
    others = f" and {_number(between)} more" if between else ""
    return f"behind job {surroundings.holder_id} ({what}){others} under lock {job.lock!r}"


def _turn(job: JobSummary, surroundings: Surroundings, when: str) -> Iterator[str]:
    """Yield how near its turn is, now or once nothing else is in its way."""
    if job.state == "suspect":
        yield "suspect: its worker died; it runs alone, when a worker has nothing else of its kind"
    elif job.state == "blocked" and surroundings.holder_id is None:
        yield f"about to be put in line for lock {job.lock!r}"
    elif job.state == "ready" and surroundings.ahead_in_queue:
        jobs = (
            "1 job"
            if surroundings.ahead_in_queue == 1
            else f"{_number(surroundings.ahead_in_queue)} jobs"
        )
        yield f"{when} behind {jobs} of its queue"
    elif job.state == "ready":
        yield f"{when} next in its queue"


def _number(count: int) -> str:
    return f"{count:,}" if count <= AHEAD_MAX else f"more than {AHEAD_MAX:,}"


def told(at: datetime) -> str:
    """Return a time as people read it, in UTC."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
