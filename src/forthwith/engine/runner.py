"""Runs jobs: long-lived runners take from the buffer, and every way a job can end becomes an outcome."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from forthwith import forks
from forthwith.context import AbortReason
from forthwith.engine.ending import given_up, outcome_of
from forthwith.engine.execution import Execution
from forthwith.engine.meter import Meter
from forthwith.engine.outcome_log import VERBS, log_outcome
from forthwith.engine.task_threads import TaskThreads
from forthwith.engine.turns import Turns
from forthwith.errors import DatabaseUnavailable
from forthwith.options import class_name
from forthwith.outcome import (
    Aborted,
    Outcome,
    Released,
    Succeeded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import CodeType

    from forthwith.engine.buffer import Buffer
    from forthwith.engine.completer import Completer
    from forthwith.engine.plan import TaskPlan
    from forthwith.engine.ports import Claim, JobStore, KeptResult
    from forthwith.engine.progress import Progress
    from forthwith.job import ClaimedJob

logger = logging.getLogger(__name__)

# What Succeeded(job) makes, in two thirds of the time.
_succeeded = functools.partial(tuple.__new__, Succeeded)
UNKNOWN_NAMED_MAX = 100


class Runners:
    """`concurrency` runners, and what they are running."""

    def __init__(
        self,
        *,
        buffer: Buffer,
        completer: Completer,
        store: JobStore,
        progress: Progress,
        plan_of: Callable[[str], TaskPlan | None],
        concurrency: int,
        holds_lease: Callable[[int], bool],
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Meter()
        self._buffer = buffer
        self._completer = completer
        self._store = store
        self._progress = progress
        self._plan_of = plan_of
        self._plans: dict[str, TaskPlan | None] = {}
        self._concurrency = concurrency
        self._holds_lease = holds_lease
        self._executions: dict[int, Execution] = {}
        self._crashed: dict[int, ClaimedJob] = {}
        self._aborted_unstarted: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._threads = TaskThreads(concurrency)
        self._pid = os.getpid()
        self._closing = False
        self._turns = Turns(buffer)
        self._unknown: dict[str, None] = {}
        self.finished = 0
        """Runs that have ended so far."""

    @property
    def running(self) -> int:
        """How many jobs run now."""
        return len(self._executions)

    @property
    def claims(self) -> list[Claim]:
        """The claims of the jobs that run now."""
        jobs = [execution.job for execution in self._executions.values()]
        return [(job.id, job.lease_token) for job in jobs]

    @property
    def crashed(self) -> list[ClaimedJob]:
        """The jobs claimed here, and not ended, whose worker has died before."""
        return list(self._crashed.values())

    @property
    def unknown_tasks(self) -> list[str]:
        """Names of tasks that came along and are not known here: left to other workers."""
        return list(self._unknown)

    def expect(self, jobs: Iterable[ClaimedJob]) -> None:
        """Take note of claimed jobs before they run."""
        self._crashed.update((job.id, job) for job in jobs if job.crashes)

    def forget(self, jobs: Iterable[ClaimedJob]) -> None:
        """Take note that claimed jobs will not run here."""
        for job in jobs:
            self._crashed.pop(job.id, None)

    def running_names(self) -> list[str]:
        """Their tasks, for a log line."""
        return sorted({execution.job.task for execution in self._executions.values()})

    @property
    def run_code(self) -> CodeType:
        """The code of the function that runs one `job`: to be found on a stack."""
        return self._attempt.__code__

    def known_ids(self) -> list[int]:
        """All jobs claimed here that have not ended."""
        return [*self._executions, *self._buffer.ids()]

    def start(self) -> None:
        """Start the runners."""
        self._tasks = [self._start_runner(number) for number in range(self._concurrency)]

    def abort(self, job_id: int, reason: AbortReason = AbortReason.USER_REQUEST) -> None:
        """Stop a claimed job: an async one is cancelled, a sync one learns from its context, and one
        that has not started will not.
        """
        execution = self._executions.get(job_id)
        if execution is None:
            self._aborted_unstarted.add(job_id)
            return
        if execution.abort_reason is not None:
            return
        execution.abort_reason = reason
        if execution.plan is not None and execution.plan.is_async and execution.runner is not None:
            execution.runner.cancel()

    async def finish(self, grace_s: float | None) -> None:
        """Wait for what runs, `grace_s` seconds at the most (None: as long as it takes)."""
        self._closing = True
        self._buffer.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)

    async def abort_all(self, patience_s: float) -> int:
        """Abort what still runs and give it `patience_s` seconds to stop. Returns how many did not."""
        for job_id in list(self._executions):
            self.abort(job_id, AbortReason.SHUTDOWN)
        pending = [task for task in self._tasks if not task.done()]
        if pending:
            await asyncio.wait(pending, timeout=patience_s)
        stuck = list(self._executions.values())
        for execution in stuck:
            outcome = given_up(execution)
            self._tell(execution.job, execution.plan)
            self._completer.add(outcome)
            logger.error(
                "Job %d (%s) did not stop; it %s",
                execution.job.id,
                execution.job.task,
                VERBS[type(outcome)],
            )
        self._threads.close()
        return len(stuck)

    def _start_runner(self, number: int) -> asyncio.Task[None]:
        runner = asyncio.create_task(self._run(), name=f"runner {number}")
        runner.add_done_callback(functools.partial(self._replace, number))
        return runner

    def _replace(self, number: int, runner: asyncio.Task[None]) -> None:
        """Put another in the place of a runner that has ended: a job has broken it.

        A job can: by cancelling, when it is long over, the task that it ran in; or with GeneratorExit.
        """
        error = None if runner.cancelled() else runner.exception()
        if self._closing:
            return
        logger.error(
            "A task has broken %s (%s); another one takes its place",
            runner.get_name(),
            "cancelled" if error is None else class_name(type(error)),
            exc_info=error,
        )
        self._tasks[number] = self._start_runner(number)

    async def _run(self) -> None:
        runner = asyncio.current_task()
        assert runner is not None
        take, add, turns = self._buffer.take_nowait, self._completer.add, self._turns
        started_s = time.monotonic()  # one look at the clock for an end and the next beginning
        while True:
            job = take()
            if job is None:
                if self._closing:
                    return
                await self._buffer.wait()
                started_s = time.monotonic()
                continue
            outcome = await self._attempt(job, runner)
            now_s = time.monotonic()
            if outcome is not None:
                add(outcome, now_s - started_s)
            else:
                self._meter.ended_alone(Succeeded(job), now_s - started_s)
            if now_s >= turns.slice_end_s:
                await turns.let_loop_pass(now_s)
                now_s = time.monotonic()
            started_s = now_s

    async def _attempt(self, job: ClaimedJob, runner: asyncio.Task[Any]) -> Outcome | None:
        """Run a job and make its outcome; None if the task has completed the job itself."""
        plan = self._plans.get(job.task) or self._plan(job.task)
        if plan is None or not self._holds_lease(job.worker_id):
            self._end(job)
            return Released(job)  # in doubt, others start it
        execution = self._executions[job.id] = Execution(job)
        try:
            if job.abort_requested or job.id in self._aborted_unstarted:
                self._aborted_unstarted.discard(job.id)
                log_outcome(Aborted(job, None), 0.0)
                self._tell(job, plan)
                return Aborted(job, None)
            execution.runner = runner
            return await self._outcome(execution, plan)
        finally:
            # After a lost lease the same job may run here a second time, beside its first run.
            if self._executions.get(job.id) is execution:
                del self._executions[job.id]
            self._end(job)
            if runner.cancelling():
                await _forget_cancels(runner)

    def _end(self, job: ClaimedJob) -> None:
        if job.crashes and job.id not in self._executions:
            self._crashed.pop(job.id, None)
        self.finished += 1

    async def _outcome(self, execution: Execution, plan: TaskPlan) -> Outcome | None:
        job = execution.job
        logs = logger.isEnabledFor(logging.INFO)
        started_s = time.monotonic() if logs else 0.0
        try:
            if plan.once and not await self._may_start(job):
                return Released(job)
            try:
                value = await execution.run(plan, self._store, self._threads, self._progress)
            finally:
                forks.end_child(self._pid)
        except BaseException as error:
            if issubclass(type(error), GeneratorExit):
                if _is_at_work(execution.runner):  # and not thrown away with its loop
                    self._tell(job, plan)
                    self._completer.add(outcome_of(error, execution, plan))
                raise  # for Python closes every coroutine on the way, this one too: see _replace
            if plan.needs_context:
                outcome = await self._conclude(execution, plan, error)
            else:
                outcome = outcome_of(error, execution, plan)
        else:
            if plan.needs_context:
                outcome = await self._conclude(execution, plan, None, value)
            else:
                outcome = _succeeded((job,))
        if logs:
            log_outcome(outcome or Succeeded(job), time.monotonic() - started_s)
        return outcome

    async def _conclude(
        self,
        execution: Execution,
        plan: TaskPlan,
        error: BaseException | None,
        value: Any = None,
    ) -> Outcome | None:
        """Make the outcome; None if the task has completed the job itself."""
        completion = execution.completion
        if completion is not None and await completion.is_committed():
            self._completer.was_completed(execution.job)
            if error is not None:
                logger.warning(
                    "Job %d (%s) raised %r after it had succeeded with its own transaction",
                    execution.job.id,
                    execution.job.task,
                    error,
                )
            return None
        if error is None and completion is not None:
            error = completion.omission()
        if plan.keep is not None:
            error = self._keep(execution.job, plan.keep, error, value)
        return Succeeded(execution.job) if error is None else outcome_of(error, execution, plan)

    def _keep(
        self,
        job: ClaimedJob,
        keep: Callable[[Any], KeptResult],
        error: BaseException | None,
        value: Any,
    ) -> BaseException | None:
        """Keep what the task returned. Returns what is wrong: with the run, or with that."""
        result = None
        if error is None:
            try:
                result = keep(value)
            except BaseException as broken:  # the value may be of anybody's class
                error = broken
        self._completer.keep(job, result)
        return error

    def _tell(self, job: ClaimedJob, plan: TaskPlan | None) -> None:
        """Have who waits for the job's result told of its outcome, which leaves none."""
        if plan is not None and plan.keep is not None:
            self._completer.keep(job, None)

    async def _may_start(self, job: ClaimedJob) -> bool:
        """Record the start of a job that must not run twice. Not sure means not started."""
        try:
            return await self._store.mark_started(job)
        except DatabaseUnavailable:
            return False

    def _plan(self, task_name: str) -> TaskPlan | None:
        plan = self._plans.get(task_name)
        if plan is None:
            plan = self._plan_of(task_name)
            if plan is None:
                self._note_unknown(task_name)
            else:
                self._plans[task_name] = plan
        return plan

    def _note_unknown(self, task_name: str) -> None:
        if task_name in self._unknown:
            return
        self._unknown[task_name] = None
        if len(self._unknown) <= UNKNOWN_NAMED_MAX:
            logger.warning(
                "TaskNotFound: this worker does not know task %.200r. Its jobs are left waiting for "
                "a worker that does; if there is none, add the task's module to import_paths",
                task_name,
            )
        elif len(self._unknown) == UNKNOWN_NAMED_MAX + 1:
            logger.warning(
                "TaskNotFound: there are more than %d tasks that this worker does not know; from here "
                "on they are not named",
                UNKNOWN_NAMED_MAX,
            )


def _is_at_work(runner: asyncio.Task[Any] | None) -> bool:
    """Whether the event loop runs this runner at this moment."""
    try:
        return runner is not None and asyncio.current_task() is runner
    except RuntimeError:
        return False


async def _forget_cancels(runner: asyncio.Task[Any]) -> None:
    """Keep the cancels that a job got, or gave itself, from the next job that the runner takes."""
    while runner.uncancel():
        pass
    with suppress(asyncio.CancelledError):  # one that came after the job's last await arrives here
        await asyncio.sleep(0)
