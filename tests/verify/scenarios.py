"""Scenarios: what is done to workers, played by whole systems and by broken ones."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg import sql

from forthwith.errors import AlreadyEnqueued
from tests.verify.mutant_worker import MUTATIONS, TINY_BACKLOG

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith.verify.lab import Lab
    from forthwith.verify.worker_process import LabWorker

    WaitUntil = Callable[..., Awaitable[Any]]

LEASE_S = 1.5
RENEW_S = 0.15
PATIENCE_S = 20.0
DEAFEN = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where query like 'listen %' and datname = current_database()
"""
# It listens, it wants to be woken, and its other sessions have had nothing to do for a while. (That of
# the lease and that of the rescuer have always; they ask for workers, not for jobs.)
RESTS = """
    select exists (select from forthwith.worker where sleeping)
        and exists (
            select from pg_stat_activity
            where query like 'listen %' and datname = current_database())
        and not exists (
            select from pg_stat_activity
            where application_name like 'worker-%' and datname = current_database()
              and query like '%forthwith.job%'
              and state_change > clock_timestamp() - interval '0.6 seconds')
"""
TRACES = """
    select (select count(*) from {schema}.audit where actor = %s and relation <> 'worker')
        + (select count(*) from {schema}.effect)
"""
OF_WORKERS = """
    select pg_terminate_backend(pid) from pg_stat_activity
    where application_name like 'worker-%' and datname = current_database()
"""


@dataclass(slots=True)
class Stage:
    """A lab, and how its workers are. `mutation` says what is broken; None: nothing."""

    lab: Lab
    wait_until: WaitUntil
    mutation: str | None
    conditions: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def start(self, **options: Any) -> LabWorker:
        """Start a worker: broken, if the mutation says so."""
        environment = {"FORTHWITH_TEST_CONDITIONS": ",".join(self.conditions)}
        if self.mutation in MUTATIONS:
            environment["FORTHWITH_TEST_MUTATION"] = self.mutation
        return self.lab.start_worker(
            environment=environment, **{"concurrency": 4, **self.options, **options}
        )

    async def started(self, count: int, key: str | None = None, within_s: float = 12.0) -> bool:
        """Wait until there have been so many starts. False: that was not to be."""
        return await self.within(within_s, lambda: len(self.lab.starts(key=key)) >= count)

    async def ended(self, key: str, run: int = 1) -> bool:
        """Wait until that run has ended, or its outcome can't be expected any more."""
        return await self.within(
            5.0, lambda: any(r.ended_s for r in self.lab.starts(key=key)[run - 1 : run])
        )

    async def within(self, seconds: float, fact: Callable[[], Any]) -> bool:
        """Wait for a fact. Where something is broken it may never become true, and then we go on."""
        patience_s = max(seconds, PATIENCE_S) if self.mutation is None else seconds
        try:
            await self.wait_until(fact, deadline_s=patience_s)
        except AssertionError:
            if self.mutation is None:
                raise
            return False
        return True

    async def rests(self) -> None:
        """Wait until the only worker sleeps, and will not look again before it is woken or must."""
        async with await self.lab.connect() as connection:

            async def is_at_rest() -> bool:
                return await (await connection.execute(RESTS)).fetchone() == (True,)

            await self.wait_until(is_at_rest)

    async def finished(self) -> bool:
        return await self.lab.unfinished() == 0


async def quiet(stage: Stage) -> None:
    """Two workers, and nothing goes wrong but a task."""
    stage.start()
    stage.start()
    await stage.lab.defer("flaky", "flaky")
    await stage.lab.defer("work", "long", run_s=2.5)
    await stage.started(1, "long")


async def kill(stage: Stage) -> None:
    """A worker is killed with jobs in its hands."""
    stage.start(queues=["none"])
    victim = stage.start()
    await stage.lab.defer("gate", "held")
    await stage.lab.defer("gated_transfer", "in a transaction")
    await stage.started(2)
    stage.start()
    await stage.lab.wait_ready()
    victim.kill()
    await stage.started(4, within_s=3.5)
    for key in ("held", "in a transaction"):
        stage.lab.open_gate(key, 2)


async def kill_after_a_completion(stage: Stage) -> None:
    """A worker dies right after its first completion, or in the midst of it."""
    stage.start()
    await stage.lab.defer("work", "first")
    await stage.ended("first")


async def thaw(stage: Stage) -> None:
    """A frozen worker loses its job, thaws while the second run goes on, and has an outcome."""
    await _freeze_and_thaw(stage, "gate")


async def thaw_and_fail(stage: Stage) -> None:
    """The same, and its outcome is a failure, to be retried."""
    await _freeze_and_thaw(stage, "trip")


async def thaw_and_commit(stage: Stage) -> None:
    """The same, and it was frozen within the transaction that completes the job."""
    await _freeze_and_thaw(stage, "gated_transfer")


async def _freeze_and_thaw(stage: Stage, task: str) -> None:
    lab = stage.lab
    victim = stage.start()
    job_id = await lab.defer(task, "held")
    await stage.started(1)
    stage.start()
    await lab.wait_ready()
    victim.freeze()
    await stage.started(2, "held")
    before = await _traces(lab, victim)
    victim.thaw()
    lab.open_gate("held", 1)
    await stage.ended("held", 1)
    # Its outcome has come through, or it has been told that it comes too late.
    await stage.within(3.0, lambda: _is_through(lab, victim, before, job_id))
    lab.open_gate("held", 2)
    lab.open_gate("held", 3)


async def _is_through(lab: Lab, victim: LabWorker, before: int, job_id: int) -> bool:
    refused = f"LeaseLost: job {job_id} " in victim.output()
    return refused or await _traces(lab, victim) > before


async def _traces(lab: Lab, worker: LabWorker) -> int:
    """Count what a worker has changed of jobs, and the effects."""
    query = sql.SQL(TRACES).format(schema=sql.Identifier(lab.schema))
    async with await lab.connect() as connection:
        [(count,)] = await (await connection.execute(query, [worker.name])).fetchall()
    return int(count)


async def thaw_and_leave(stage: Stage) -> None:
    """A frozen worker is told to stop; when it thaws it gives back what it has lost."""
    victim = stage.start(shutdown_graceful_timeout=0.2)
    await stage.lab.defer("gate", "held")
    await stage.started(1)
    stage.start()
    await stage.lab.wait_ready()
    victim.freeze()
    victim.terminate()
    await stage.started(2)
    victim.thaw()
    await victim.wait_exit()
    for run in (2, 3):
        stage.lab.open_gate("held", run)


async def blocked_loop(stage: Stage) -> None:
    """A task blocks the event loop for longer than a lease."""
    for _ in range(2):
        stage.start()
    await stage.lab.wait_ready()
    await stage.lab.defer("block", "blocks", run_s=2.5 * LEASE_S)
    await stage.started(1)
    await stage.ended("blocks")


async def drain(stage: Stage) -> None:
    """A worker that is told to stop takes longer than a lease to finish what runs."""
    leaving = stage.start()
    await stage.lab.defer("gate", "long")
    await stage.started(1)
    stage.start()
    await stage.lab.wait_ready()
    leaving.terminate()
    with suppress(AssertionError):  # time itself is what matters here
        await stage.wait_until(lambda: len(stage.lab.starts()) > 1, deadline_s=2.5 * LEASE_S)
    for run in (1, 2, 3):
        stage.lab.open_gate("long", run)
    await leaving.wait_exit()


async def stop(stage: Stage) -> None:
    """A worker is told to stop with jobs in its buffer and one that won't end."""
    leaving = stage.start(concurrency=1, shutdown_graceful_timeout=0.2)
    await stage.lab.wait_ready()
    await stage.lab.defer_batch("work", [{"key": f"quick {n}"} for n in range(1000)])
    await stage.lab.defer_batch("gate", [{"key": f"gate {n}"} for n in range(20)])
    await stage.started(1, "gate 0")
    leaving.terminate()
    await leaving.wait_exit()
    for number in range(20):
        for run in (1, 2):
            stage.lab.open_gate(f"gate {number}", run)
    stage.start()


async def lock(stage: Stage) -> None:
    """Jobs of one lock come while its first one runs."""
    for _ in range(2):
        stage.start()
    await stage.lab.wait_ready()
    await stage.lab.defer("gate", "1", lock="a")
    await stage.started(1)
    for number in range(2, 6):
        await stage.lab.defer("work", f"{number}", lock="a", run_s=0.1)
    stage.lab.open_gate("1")


async def outcome_sent_again(stage: Stage) -> None:
    """The answer to the first completion is lost: of a job that failed and is to be retried."""
    stage.start()
    stage.start(queues=["none"])
    await stage.lab.defer("flaky", "flaky")
    await stage.started(2)


async def outcome_not_sent(stage: Stage) -> None:
    """The connection is lost before the first completion arrives."""
    stage.start()
    await stage.lab.defer("work", "first")
    await stage.ended("first")


async def claim_unanswered(stage: Stage) -> None:
    """The answer to the first claim is lost."""
    stage.start()
    await stage.lab.defer("work", "orphan")


async def full_buffer(stage: Stage) -> None:
    """More outcomes than the worker likes to keep, while they can't be recorded."""
    stage.start(concurrency=4 * TINY_BACKLOG)
    keys = [f"gate {number}" for number in range(4 * TINY_BACKLOG)]
    await stage.lab.defer_batch("gate", [{"key": key} for key in keys])
    await stage.started(len(keys))
    async with await stage.lab.connect() as connection, connection.transaction():
        await connection.execute("lock table forthwith.finished_job in exclusive mode")
        for key in keys:
            stage.lab.open_gate(key)
        for key in keys:
            await stage.ended(key)


async def deaf(stage: Stage) -> None:
    """The listening connection dies, then a job comes."""
    stage.start(fetch_job_polling_interval=1.0)
    await stage.lab.wait_ready()
    await stage.lab.defer("work", "before")
    await stage.ended("before")
    await stage.rests()
    async with await stage.lab.connect() as connection:
        assert await (await connection.execute(DEAFEN)).fetchall()
    await stage.lab.defer("work", "after")


async def asleep(stage: Stage) -> None:
    """A job comes while the only worker sleeps, and would not look again for long."""
    stage.start(fetch_job_polling_interval=60.0)
    await stage.lab.wait_ready()
    await stage.rests()
    await stage.lab.defer("work", "first")


async def connections_end(stage: Stage) -> None:
    """The server ends all connections of a worker."""
    worker = stage.start()
    await stage.lab.defer("work", "before")
    await stage.ended("before")
    async with await stage.lab.connect() as connection:
        with stage.lab.fault("terminate", "connections"):
            await connection.execute(OF_WORKERS)
    await stage.lab.defer("work", "after")
    await stage.within(1.5, lambda: worker.exit_status is not None or stage.lab.starts(key="after"))


async def poison(stage: Stage) -> None:
    """A job kills its workers, and others are among what they hold."""
    stage.start(queues=["none"])
    for number in range(3):
        await stage.lab.defer("work", f"innocent {number}", run_s=0.3)
    await stage.lab.defer("poison", "poison")
    for _ in range(4):
        worker = stage.start()
        while worker.exit_status is None:
            if await stage.finished():
                return
            await asyncio.sleep(0.02)


async def one_at_a_time(stage: Stage) -> None:
    """Two jobs with one queueing lock are deferred before the first is claimed."""
    await stage.lab.defer("work", "first", queueing_lock="q")
    with suppress(AlreadyEnqueued):
        await stage.lab.defer("work", "second", queueing_lock="q")
    stage.start()
