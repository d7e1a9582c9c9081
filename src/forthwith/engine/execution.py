"""One run of one job: from its arguments to its result or its exception."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import os
import time
from typing import TYPE_CHECKING, Any

from forthwith import forks
from forthwith.context import AbortReason
from forthwith.engine.completion import Completion
from forthwith.engine.isolation import isolated
from forthwith.engine.plan import ContextParts

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith.context import JobContext
    from forthwith.engine.plan import TaskPlan
    from forthwith.engine.ports import JobStore
    from forthwith.engine.progress import Progress
    from forthwith.engine.task_threads import TaskThreads
    from forthwith.job import ClaimedJob


class TimedOut(TimeoutError):  # noqa: N818 -- what happened, as Procrastinate names its exceptions
    """The job ran longer than its task's timeout."""


class Execution:
    """A job that runs. It ends by returning or raising; nothing in here touches the job's state."""

    __slots__ = ("abort_reason", "completion", "deadline", "job", "plan", "runner")

    def __init__(self, job: ClaimedJob) -> None:
        self.job = job
        self.plan: TaskPlan | None = None
        self.runner: asyncio.Task[Any] | None = None
        self.abort_reason: AbortReason | None = None
        self.completion: Completion | None = None
        """Where the task may complete the job itself, if it has a context."""
        self.deadline: float | None = None

    def why_abort(self) -> AbortReason | None:
        """Return why the task should stop, if it should."""
        if self.abort_reason is not None:
            return self.abort_reason
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return AbortReason.TIMEOUT
        return None

    def run(
        self,
        plan: TaskPlan,
        store: JobStore,
        threads: TaskThreads,
        progress: Progress | None = None,
    ) -> Awaitable[Any]:
        """Run the task. Raises what it raises, and `TimedOut`."""
        self.plan = plan
        arguments = plan.decode(self.job.args) if self.job.args != "{}" else {}
        if plan.timeout_s is not None:
            self.deadline = time.monotonic() + plan.timeout_s
        if not plan.needs_context and plan.is_async and plan.timeout_s is None:
            return isolated(plan.function(**arguments))  # the short way, for most jobs
        context = self._context(plan, arguments, store, progress) if plan.needs_context else None
        if plan.is_async:
            call = functools.partial(self._run_async, plan, context, arguments)
        else:
            call = functools.partial(self._run_sync, plan, context, arguments, threads)
        if plan.wrap_job is not None and context is not None:
            call = plan.wrap_job(call, context)  # type: ignore[assignment]
        return call()

    async def _run_async(
        self, plan: TaskPlan, context: JobContext | None, arguments: dict[str, Any]
    ) -> Any:
        call = self._call(plan, context, arguments)
        try:
            async with asyncio.timeout(plan.timeout_s) as scope:
                return await isolated(call())
        except TimeoutError as error:
            if scope.expired():
                raise self._timed_out(plan) from error
            raise

    async def _run_sync(
        self,
        plan: TaskPlan,
        context: JobContext | None,
        arguments: dict[str, Any],
        threads: TaskThreads,
    ) -> Any:
        """Run in a thread. No thread can be stopped from outside: the task learns by its context."""
        call = self._call(plan, context, arguments)
        run = contextvars.copy_context().run
        try:
            result = await threads.run(functools.partial(run, _outright, call))
            if hasattr(type(result), "__await__"):  # a plain function that returns a coroutine
                result = await result
        except Exception as error:
            if self.why_abort() is AbortReason.TIMEOUT:
                raise self._timed_out(plan) from error
            raise
        return result

    def _call(
        self, plan: TaskPlan, context: JobContext | None, arguments: dict[str, Any]
    ) -> Callable[[], Any]:
        call: Callable[[], Any] = functools.partial(
            plan.function, *([context] if plan.pass_context else []), **arguments
        )
        if plan.wrap_task is not None and context is not None:
            call = plan.wrap_task(call, context)
        return call

    def _timed_out(self, plan: TaskPlan) -> TimedOut:
        return TimedOut(f"{plan.name} ran longer than its timeout of {plan.timeout_s:g} s")

    def _context(
        self,
        plan: TaskPlan,
        arguments: dict[str, Any],
        store: JobStore,
        progress: Progress | None,
    ) -> JobContext:
        self.completion = Completion(self.job, store, self.why_abort, tells=plan.keep is not None)
        return plan.make_context(
            ContextParts(
                job=self.job,
                arguments=arguments,
                abort_reason=self.why_abort,
                timeout_s=plan.timeout_s,
                deadline=self.deadline,
                completion=self.completion,
                say=None if progress is None else functools.partial(progress.say, self.job),
            )
        )


def _outright(call: Callable[[], Any]) -> Any:
    """Call it, for a future's result. These two exceptions mean something else to who awaits it: with
    StopIteration it would never be done before Python 3.11.8, GeneratorExit would end the runner.
    """
    pid = os.getpid()
    try:
        return call()
    except (StopIteration, GeneratorExit) as error:
        raise RuntimeError(f"the task raised {type(error).__name__}") from error
    finally:
        forks.end_child(pid)
