"""What several answers rest on, asked once: queues, tasks and workers at one time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from forthwith.operations.facts import gather_facts
from forthwith.operations.health import findings
from forthwith.operations.queues import queue_states
from forthwith.operations.tasks import task_states

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from forthwith.operations.census import Census, LiveCount
    from forthwith.operations.finding import Finding
    from forthwith.operations.queue_state import QueueState
    from forthwith.operations.task_state import TaskState
    from forthwith.operations.worker_state import WorkerState
    from forthwith.store.operator_queries import OperatorQueries


class Picture(NamedTuple):
    """What the overview and the findings rest on."""

    as_of: datetime
    workers: list[WorkerState]
    queues: list[QueueState]
    tasks: list[TaskState]
    counts: list[LiveCount]


async def picture_of(
    queries: OperatorQueries,
    census: Census,
    workers: list[WorkerState],
    known_here: Collection[str],
) -> Picture:
    """Ask what goes with a census."""
    queues, tasks = await asyncio.gather(
        queues_of(queries, census, workers), tasks_of(queries, census, workers, known_here)
    )
    return Picture(census.as_of, workers, queues, tasks, census.counts)


async def queues_of(
    queries: OperatorQueries, census: Census, workers: Sequence[WorkerState]
) -> list[QueueState]:
    """Return the queues that are known, by name."""
    async with queries.question() as question:
        pauses = await question.rows("paused_queues")
        tallies = await question.rows("op_queue_tally")
    return queue_states(
        census,
        {row["queue"]: row["paused_at"] for row in pauses},
        {row["queue"]: row for row in tallies},
        workers,
    )


async def tasks_of(
    queries: OperatorQueries,
    census: Census,
    workers: list[WorkerState],
    known_here: Collection[str],
) -> list[TaskState]:
    """Return the tasks that are known, by name."""
    tallies = await queries.rows("op_task_tally")
    return task_states(census, {row["task"]: row for row in tallies}, workers, known_here)


async def findings_of(queries: OperatorQueries, picture: Picture) -> list[Finding]:
    """Return what is wrong in a picture, and with the server."""
    facts = await gather_facts(
        queries, picture.queues, picture.tasks, picture.workers, picture.counts
    )
    return findings(facts)
