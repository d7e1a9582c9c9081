"""OpenTelemetry: a job's trace goes from its defer to all of its runs. Needs `forthwith[tracing]`.

A defer is a producer span, one for a whole batch. Each run of a job is a consumer span below the span
that deferred it, whichever worker runs it and however often. Names and attributes are those of the
semantic conventions for messaging. Arguments are never in a span; an exception's message is.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from forthwith.job import Trace
from forthwith.job_manager import JobManager
from forthwith.outcome import failure_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from opentelemetry.trace import Span
    from procrastinate.job_context import JobContext
    from procrastinate.jobs import Job

    from forthwith.app import App
    from forthwith.job import ClaimedJob, NewJob
    from forthwith.store.traces import Traces

logger = logging.getLogger(__name__)

SYSTEM = "forthwith"
KEPT_MAX = 20_000
"""More than a worker ever has claimed. Those of jobs that were given back are forgotten after so many."""

_propagator = TraceContextTextMapPropagator()
_is_deferring: ContextVar[bool] = ContextVar("is_deferring", default=False)


def instrument(app: App) -> None:
    """Trace what an app defers and runs, as `App(tracing=True)` does. Once is enough, twice is fine."""
    app.tracing = True


def tracer() -> trace.Tracer:
    """Return the tracer of the provider that the process has chosen by now."""
    return trace.get_tracer("forthwith")


class TracedJobManager(JobManager):
    """A job manager whose defers are producer spans, and write down their trace with the jobs."""

    async def defer_job_async(self, job: Job, connection: Any | None = None) -> Job:
        """Defer a job. See `JobManager`."""
        with _deferring([job]) as span:
            return _sent(span, await super().defer_job_async(job, connection))

    def defer_job(self, job: Job, connection: Any | None = None) -> Job:
        """As `defer_job_async`, synchronously."""
        with _deferring([job]) as span:
            return _sent(span, super().defer_job(job, connection))

    async def batch_defer_jobs_async(
        self, jobs: list[Job], connection: Any | None = None
    ) -> list[Job]:
        """Defer all jobs or none. See `JobManager`."""
        with _deferring(jobs):
            return await super().batch_defer_jobs_async(jobs, connection)

    def batch_defer_jobs(self, jobs: list[Job], connection: Any | None = None) -> list[Job]:
        """As `batch_defer_jobs_async`, synchronously."""
        with _deferring(jobs):
            return super().batch_defer_jobs(jobs, connection)

    async def defer_alike_async(
        self, job: Job, arguments: Sequence[Mapping[str, Any]], connection: Any | None = None
    ) -> list[int]:
        """Defer a job for each of these arguments. See `JobManager`."""
        with _deferring([job] * len(arguments)):
            return await super().defer_alike_async(job, arguments, connection)

    def defer_alike(
        self, job: Job, arguments: Sequence[Mapping[str, Any]], connection: Any | None = None
    ) -> list[int]:
        """As `defer_alike_async`, synchronously."""
        with _deferring([job] * len(arguments)):
            return super().defer_alike(job, arguments, connection)

    async def defer_periodic_job(
        self, job: Job, periodic_id: str, defer_timestamp: int
    ) -> int | None:
        """Defer the job of a tick. See `JobManager`."""
        with _deferring([job]) as span:
            job_id = await super().defer_periodic_job(job, periodic_id, defer_timestamp)
            if job_id is not None:
                span.set_attribute("messaging.message.id", str(job_id))
            return job_id

    def _new(self, job: Job) -> NewJob:
        return super()._new(job)._replace(trace=_present())


class WorkerTracing:
    """The traces of the jobs that a worker has claimed, and the span around each run."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces
        self._kept: dict[int, Trace] = {}

    async def load(self, jobs: Sequence[ClaimedJob]) -> None:
        """Read the traces of claimed jobs, in one statement. Without an answer they run all the same."""
        try:
            self._kept.update(await self._traces.read([job.id for job in jobs]))
        except Exception as error:  # whatever it is, the jobs are claimed
            logger.debug("Could not read the traces of %d jobs: %s", len(jobs), error)
        while len(self._kept) > KEPT_MAX:
            del self._kept[next(iter(self._kept))]

    async def around(
        self, call_next: Callable[[], Awaitable[Any]], context: JobContext, _worker: object
    ) -> Any:
        """Run a job in its span: a worker middleware."""
        job = context.job
        assert job.id is not None, "a job that runs has an id"
        parent = _context_of(self._kept.pop(job.id, None))
        with (
            tracer().start_as_current_span(
                f"run {job.queue}",
                context=parent,
                kind=SpanKind.CONSUMER,
                attributes={
                    **_attributes("run", "process", job.queue, job.task_name),
                    "messaging.message.id": str(job.id),
                    "forthwith.attempt": job.attempts + 1,
                },
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            _noting(span),
        ):
            return await call_next()


@contextmanager
def _deferring(jobs: Sequence[Job]) -> Iterator[Span]:
    """Make the span of a defer, unless one calls the other: then it has one."""
    if _is_deferring.get() or not jobs:
        yield trace.INVALID_SPAN
        return
    token = _is_deferring.set(True)
    try:
        with (
            tracer().start_as_current_span(
                _name("defer", jobs),
                kind=SpanKind.PRODUCER,
                attributes=_deferred(jobs),
                record_exception=False,
                set_status_on_exception=False,
            ) as span,
            _noting(span),
        ):
            yield span
    finally:
        _is_deferring.reset(token)


@contextmanager
def _noting(span: Span) -> Iterator[None]:
    """Record what is raised in the block, a cancellation too."""
    try:
        yield
    except BaseException as error:
        failure = failure_of(error, "failed")  # which no exception of a user's can break
        span.set_attribute("error.type", failure.exception_type)
        span.add_event(
            "exception",
            {
                "exception.type": failure.exception_type,
                "exception.message": failure.message,
                "exception.stacktrace": failure.traceback,
            },
        )
        span.set_status(Status(StatusCode.ERROR, failure.exception_type))
        raise


def _sent(span: Span, job: Job) -> Job:
    span.set_attribute("messaging.message.id", str(job.id))
    return job


def _name(operation: str, jobs: Sequence[Job]) -> str:
    queues = {job.queue for job in jobs}
    return f"{operation} {queues.pop()}" if len(queues) == 1 else operation


def _deferred(jobs: Sequence[Job]) -> dict[str, str | int]:
    queues = {job.queue for job in jobs}
    tasks = {job.task_name for job in jobs}
    attributes = _attributes(
        "defer",
        "send",
        queues.pop() if len(queues) == 1 else None,
        tasks.pop() if len(tasks) == 1 else None,
    )
    if len(jobs) > 1:
        attributes["messaging.batch.message_count"] = len(jobs)
    return attributes


def _attributes(
    operation: str, kind: str, queue: str | None, task: str | None
) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }
    if queue is not None:
        attributes["messaging.destination.name"] = queue
    if task is not None:
        attributes["forthwith.task"] = task
    return attributes


def _present() -> Trace | None:
    """Return the present span's place in its trace; None where nobody traces."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    traceparent = carrier.get("traceparent")
    return None if traceparent is None else Trace(traceparent, carrier.get("tracestate"))


def _context_of(found: Trace | None) -> Context:
    """Return the context of whoever deferred a job; an empty one where he did not trace."""
    if found is None:
        return Context()
    carrier = {"traceparent": found.traceparent}
    if found.tracestate is not None:
        carrier["tracestate"] = found.tracestate
    return _propagator.extract(carrier, context=Context())
