"""From a task in the registry to the plan by which the engine runs it."""

from __future__ import annotations

import functools
import inspect
import time
from typing import TYPE_CHECKING, Any

import procrastinate.tasks
from procrastinate import jobs, middleware

from forthwith.context import JobContext
from forthwith.engine.plan import ContextParts, RetryPlan, TaskPlan, decode_arguments
from forthwith.engine.ports import KeptResult
from forthwith.options import check_lock, check_name, check_priority, check_schedule
from forthwith.result import serialize_result
from forthwith.retry import WAITING, wait_s_of
from forthwith.task import crashes_max_of, result_ttl_s_of, timeout_s_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from procrastinate.middleware import TaskMiddleware, WorkerMiddleware
    from procrastinate.retry import RetryDecision

    from forthwith.app import App
    from forthwith.job import ClaimedJob


class Planner:
    """Plans for the tasks of an app, as one worker runs them."""

    def __init__(
        self,
        app: App,
        *,
        worker_name: str | None,
        worker_queues: Sequence[str] | None,
        additional_context: dict[str, Any] | None,
        task_middleware: Sequence[TaskMiddleware],
        worker_middleware: Sequence[WorkerMiddleware],
    ) -> None:
        self._app = app
        self._worker_name = worker_name
        self._worker_queues = worker_queues
        self._additional_context = additional_context or {}
        self._task_middleware = task_middleware
        self._worker_middleware = worker_middleware
        self.worker: Any = None
        """What middlewares get as the worker."""

    def plan_of(self, task_name: str) -> TaskPlan | None:
        """Return the plan of a task, or None if the app does not know it."""
        task = self._app.tasks.get(task_name)
        if task is None:
            return None
        is_async = inspect.iscoroutinefunction(task.func)
        around_task = self._around(task, is_async=is_async)
        keep = self._keep_for(task)
        return TaskPlan(
            name=task.name,
            function=task.func,
            is_async=is_async,
            pass_context=task.pass_context,
            needs_context=bool(
                task.pass_context or around_task or self._worker_middleware or keep is not None
            ),
            timeout_s=timeout_s_of(task),
            once=crashes_max_of(task) == 1,
            decide_retry=functools.partial(_decide_retry, task, self._decode),
            make_context=self._make_context,
            wrap_task=self._wrapping(around_task),
            wrap_job=self._wrapping(self._worker_middleware),
            decode=self._decode,
            keep=keep,
        )

    @property
    def _decode(self) -> Callable[[str], dict[str, Any]]:
        return self._app.connector.json_loads or decode_arguments

    def _keep_for(
        self, task: procrastinate.tasks.Task[..., Any, ...]
    ) -> Callable[[Any], KeptResult] | None:
        ttl_s, dumps = result_ttl_s_of(task), self._app.connector.json_dumps
        if ttl_s is None:
            return None
        return lambda value: KeptResult(serialize_result(task.name, value, dumps), ttl_s)

    def _around(
        self, task: procrastinate.tasks.Task[..., Any, ...], *, is_async: bool
    ) -> list[TaskMiddleware]:
        """The worker's middlewares that fit the task's kind, then the task's own, outermost first."""
        fitting = [
            wrapper
            for wrapper in self._task_middleware
            if middleware.is_async_middleware(wrapper) == is_async
        ]
        return [*fitting, *task.task_middleware]

    def _wrapping(
        self, wrappers: Sequence[Any]
    ) -> Callable[[Callable[[], Any], JobContext], Callable[[], Any]] | None:
        if not wrappers:
            return None
        return lambda call, context: middleware.compose(wrappers, call, context, self.worker)

    def _make_context(self, parts: ContextParts) -> JobContext:
        return JobContext(
            app=self._app,
            worker_name=self._worker_name,
            worker_queues=self._worker_queues,
            job=_procrastinate_job(parts.job, parts.arguments),
            start_timestamp=time.time(),
            additional_context=dict(self._additional_context),
            abort_reason=parts.abort_reason,
            lease_token=parts.job.lease_token,
            timeout_s=parts.timeout_s,
            deadline=parts.deadline,
            completion=parts.completion,
            say=parts.say,
        )


def _decide_retry(
    task: procrastinate.tasks.Task[..., Any, ...],
    decode: Callable[[str], dict[str, Any]],
    error: BaseException,
    job: ClaimedJob,
) -> RetryPlan | None:
    strategy = task.retry_strategy
    if strategy is None:
        return None
    ask = getattr(task.get_retry_exception, "__func__", None)
    if ask is _get_retry_exception and type(strategy) in WAITING:
        wait_s = wait_s_of(strategy, error, job.attempts)  # type: ignore[arg-type]
        return None if wait_s is None else RetryPlan(None, wait_s, None, None, None)
    seen = _procrastinate_job(job, decode(job.args))
    retry = task.get_retry_exception(exception=error, job=seen)
    if retry is None:
        return None
    return _checked(retry.retry_decision)


_get_retry_exception = procrastinate.tasks.Task.get_retry_exception


def _checked(decision: RetryDecision) -> RetryPlan:
    """Check what a user's strategy decided: an outcome must not fail in the database."""
    at, priority, queue, lock = (
        decision.retry_at,
        decision.priority,
        decision.queue,
        decision.lock,
    )
    return RetryPlan(
        None if at is None else check_schedule("retry_at", at),
        None,
        None if priority is None else check_priority("priority", priority),
        None if queue is None else check_name("queue", queue),
        None if lock is None else check_lock("lock", lock),
    )


def _procrastinate_job(job: ClaimedJob, arguments: dict[str, Any]) -> jobs.Job:
    return jobs.Job(
        id=job.id,
        status=jobs.Status.DOING.value,
        queue=job.queue,
        priority=job.priority,
        lock=job.lock,
        queueing_lock=job.queueing_lock,
        task_name=job.task,
        task_kwargs=arguments,
        scheduled_at=job.scheduled_at,
        attempts=job.attempts,
        abort_requested=job.abort_requested,
        worker_id=job.worker_id,
    )
