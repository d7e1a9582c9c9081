"""A producer that goes on through every fault, and what is measured of the workers meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg

from forthwith.errors import DatabaseUnavailable
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forthwith.verify.history import History
    from forthwith.verify.lab import Lab
    from forthwith.verify.worker_process import LabWorker

HEARD_WITHIN_S = 30.0
LISTENING = """
select distinct application_name from pg_stat_activity
where datname = current_database() and query ilike 'listen%'
"""
SLEEPING = "select name from forthwith.worker where sleeping"


@dataclass(slots=True)
class SteadyLoad:
    """What a producer has deferred so far."""

    accepted: int = 0
    refused: int = 0
    """How often a defer raised DatabaseUnavailable."""
    last_accepted_s: float = 0.0
    """When, by the monotonic clock."""


@asynccontextmanager
async def steady_load(
    lab: Lab, *, every_s: float = 0.01, run_s: float = 0.02
) -> AsyncIterator[SteadyLoad]:
    """Defer a job every `every_s` seconds beside the block, whatever becomes of it."""
    load = SteadyLoad()
    producing = asyncio.create_task(_produce(lab, load, every_s, run_s))
    try:
        yield load
    finally:
        producing.cancel()
        with suppress(asyncio.CancelledError):
            await producing


async def _produce(lab: Lab, load: SteadyLoad, every_s: float, run_s: float) -> None:
    number = 0
    while True:
        number += 1
        lock = f"lock {number % 7}" if number % 3 == 0 else None
        task = "transfer" if number % 5 == 0 else "work"
        try:
            await lab.defer(task, f"load {number}", lock=lock, run_s=run_s)
        except DatabaseUnavailable:
            load.refused += 1
        else:
            load.accepted += 1
            load.last_accepted_s = time.monotonic()
        await asyncio.sleep(every_s)


async def wait_listening(lab: Lab, *workers: LabWorker) -> None:
    """Wait until the server knows a listening session of each of these workers."""
    await wait_until(lambda: _all_in(lab, workers, LISTENING), deadline_s=30.0, poll_s=0.05)


async def wait_heard(lab: Lab, *workers: LabWorker) -> None:
    """Send each worker a job in the queue that has its name once it sleeps; wait until it has begun.

    With a long polling interval only a notification can wake it.
    """
    await wait_until(lambda: _all_in(lab, workers, SLEEPING), deadline_s=30.0, poll_s=0.05)
    for worker in workers:
        job_id = await defer_again(lab, "work", f"for {worker.name} alone", queue=worker.name)
        await wait_until(partial(lab.starts, job_id), deadline_s=HEARD_WITHIN_S)


async def defer_again(lab: Lab, task: str, key: str, **options: Any) -> int:
    """Defer, as often as needed: connections that a restart has broken are found out by using them."""
    while True:
        with suppress(DatabaseUnavailable):
            return await lab.defer(task, key, **options)


def claim_times_s(history: History, worker: LabWorker, since_s: float) -> list[float]:
    """Return after how many seconds from `since_s` the worker claimed jobs."""
    return [
        change.s - since_s
        for change in history.changes
        if change.actor == worker.name and change.after == "doing" and change.s >= since_s
    ]


def assert_undisturbed(history: History) -> None:
    """No job was taken from a worker, and every one of the task `work` ran once."""
    assert sum(job.crashes for job in history.jobs) == 0
    runs = Counter(run.job_id for run in history.runs if run.task == "work")
    assert [job_id for job_id, count in runs.items() if count > 1] == []


async def _all_in(lab: Lab, workers: tuple[LabWorker, ...], query: str) -> bool:
    try:
        async with await lab.connect() as connection:
            rows = await (await connection.execute(query.encode())).fetchall()
    except psycopg.OperationalError:
        return False
    return {worker.name for worker in workers} <= {name for (name,) in rows}
