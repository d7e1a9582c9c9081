"""A worker of an app, with Procrastinate's options: checks them and puts the engine together."""

from __future__ import annotations

import functools
import logging
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import procrastinate.app
from procrastinate import middleware
from procrastinate.jobs import DeleteJobCondition

from forthwith.engine.worker import Worker as EngineWorker
from forthwith.engine.worker import WorkerSettings
from forthwith.errors import InvalidArgument, MiddlewareKindMismatch
from forthwith.options import check_count, check_flag, check_name, check_positive
from forthwith.periodic_deferrer import PeriodicDeferrer
from forthwith.planner import Planner
from forthwith.store.leases import PostgresLeases
from forthwith.store.postgres import PostgresStore

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from procrastinate.middleware import TaskMiddleware, WorkerMiddleware

    from forthwith.app import App
    from forthwith.tracing import WorkerTracing

logger = logging.getLogger(__name__)


class WorkerOptions(procrastinate.app.WorkerOptions, total=False):
    """What `App.run_worker` takes: Procrastinate's options, and ours."""

    metrics_port: int | None
    metrics_host: str


class Worker:
    """Runs an app's jobs. Made by `App.run_worker_async`; see there for the options."""

    def __init__(
        self,
        app: App,
        *,
        queues: Iterable[str] | None = None,
        name: str | None = "worker",
        concurrency: int = 1,
        wait: bool = True,
        fetch_job_polling_interval: float = 5.0,
        abort_job_polling_interval: float = 5.0,
        shutdown_graceful_timeout: float | None = None,
        listen_notify: bool = True,
        delete_jobs: str | DeleteJobCondition | None = None,
        additional_context: dict[str, Any] | None = None,
        install_signal_handlers: bool = True,
        update_heartbeat_interval: float = 1.0,
        stalled_worker_timeout: float = 30.0,
        task_middleware: list[TaskMiddleware] | None = None,
        worker_middleware: list[WorkerMiddleware] | None = None,
        metrics_port: int | None = None,
        metrics_host: str = "127.0.0.1",
    ) -> None:
        self.app = app
        self.queues = _checked_queues(queues)
        self.worker_name = None if name is None else check_name("name", name)
        self.additional_context = additional_context
        self._delete_jobs = _delete_condition(delete_jobs)
        self._metrics_port = _checked_port(metrics_port)
        self._metrics_host = check_name("metrics_host", metrics_host)
        self._task_middleware = _checked_middleware("task_middleware", task_middleware)
        self._worker_middleware = _checked_middleware("worker_middleware", worker_middleware)
        _check_all_async(self._worker_middleware)
        self.settings = WorkerSettings(
            name=self.worker_name,
            queues=self.queues,
            concurrency=check_count("concurrency", concurrency),
            wait=check_flag("wait", wait),
            polling_interval_s=check_positive(
                "fetch_job_polling_interval", fetch_job_polling_interval
            ),
            abort_polling_interval_s=check_positive(
                "abort_job_polling_interval", abort_job_polling_interval
            ),
            grace_period_s=_checked_grace(shutdown_graceful_timeout),
            listen_notify=check_flag("listen_notify", listen_notify),
            install_signal_handlers=check_flag("install_signal_handlers", install_signal_handlers),
            renew_interval_s=check_positive("update_heartbeat_interval", update_heartbeat_interval),
            lease_s=check_positive("stalled_worker_timeout", stalled_worker_timeout),
        )
        if self.settings.lease_s < 2 * self.settings.renew_interval_s:
            raise InvalidArgument(
                "stalled_worker_timeout",
                "must be at least twice update_heartbeat_interval "
                f"({self.settings.renew_interval_s:g} s), not {self.settings.lease_s:g} s",
            )
        self._engine: EngineWorker | None = None
        self._stop_asked = False

    @property
    def worker_id(self) -> int | None:
        """The worker's id in the database, while it runs."""
        return None if self._engine is None else self._engine.worker_id

    def stop(self) -> None:
        """Ask the worker to finish what runs and leave. From any thread."""
        self._stop_asked = True
        if self._engine is not None:
            self._engine.stop()

    async def run(self) -> int:
        """Work until stopped or, with `wait=False`, until there is nothing left.

        Returns how many jobs did not stop within the grace period (sync tasks cannot be stopped from
        outside): they are given back while their threads still run. Raises `SchemaError`,
        `DatabaseUnavailable` or, for a port that is taken, `InvalidArgument` if it cannot start.
        """
        with self._monitored():
            return await self._run()

    def _monitored(self) -> AbstractContextManager[object]:
        if self._metrics_port is None:
            return nullcontext()
        from forthwith.metrics.monitor import monitored  # not needed by most

        return monitored(self._metrics_host, self._metrics_port, lambda: self._engine)

    async def _run(self) -> int:
        await self.app.schema_manager.check_async()
        engine = self._engine = self._assemble()
        if self._stop_asked:
            self._stop_asked = False
            return 0
        try:
            return await engine.run()
        finally:
            self._engine = None

    def _assemble(self) -> EngineWorker:
        database, schema = self.app.connector.database, self.app.connector.schema
        store = PostgresStore(
            database,
            schema=schema,
            keeps=functools.partial(_keeps, self._delete_jobs),
            history_retention_s=self.app.history_retention_s,
        )
        tracing = _tracing_of(store) if self.app.tracing else None
        planner = Planner(
            self.app,
            worker_name=self.worker_name,
            worker_queues=self.queues,
            additional_context=self.additional_context,
            task_middleware=self._task_middleware,
            worker_middleware=[*([tracing.around] if tracing else []), *self._worker_middleware],
        )
        planner.worker = self
        return EngineWorker(
            self.settings,
            store=store,
            leases=PostgresLeases(
                database,
                schema=schema,
                name=self.worker_name or "worker",
                queues=self.queues,
                concurrency=self.settings.concurrency,
                lease_s=self.settings.lease_s,
                renew_interval_s=self.settings.renew_interval_s,
                tasks=sorted(self.app.tasks),
            ),
            plan_of=planner.plan_of,
            defer_periodically=self._defer_periodically,
            on_claimed=tracing.load if tracing else None,
        )

    async def _defer_periodically(self) -> None:
        await PeriodicDeferrer(
            registry=self.app.periodic_registry,
            note=self.app.note_periodic_tasks_async,
            **self.app.periodic_defaults,
        ).worker()


def _tracing_of(store: PostgresStore) -> WorkerTracing:
    from forthwith.tracing import WorkerTracing  # imports OpenTelemetry

    return WorkerTracing(store.traces)


def _keeps(condition: DeleteJobCondition, status: str) -> bool:
    if condition is DeleteJobCondition.ALWAYS:
        return False
    return condition is DeleteJobCondition.NEVER or status != "succeeded"


def _delete_condition(value: str | DeleteJobCondition | None) -> DeleteJobCondition:
    try:
        return DeleteJobCondition.NEVER if value is None else DeleteJobCondition(value)
    except ValueError:
        known = ", ".join(condition.value for condition in DeleteJobCondition)
        raise InvalidArgument("delete_jobs", f"must be one of {known}, not {value!r}") from None


def _checked_queues(queues: Iterable[str] | None) -> list[str] | None:
    if queues is None:
        return None
    if isinstance(queues, str):
        raise InvalidArgument("queues", f"must be a list of names, such as [{queues!r}]")
    return list(dict.fromkeys(check_name("queues", queue) for queue in queues)) or None


def _checked_grace(seconds: float | None) -> float | None:
    if seconds is None or seconds == 0:
        return seconds
    return check_positive("shutdown_graceful_timeout", seconds)


def _checked_port(port: object) -> int | None:
    if port is None or (isinstance(port, int) and 0 <= port <= 65_535):
        return port
    raise InvalidArgument("metrics_port", "must be a port, from 1 to 65535, or 0 for any free one")


def _checked_middleware(argument: str, wrappers: list[Any] | None) -> list[Any]:
    for wrapper in wrappers or []:
        if not callable(wrapper):
            raise TypeError(f"{argument}: {wrapper!r} is not callable")
    return list(wrappers or [])


def _check_all_async(wrappers: list[WorkerMiddleware]) -> None:
    for wrapper in wrappers:
        if not middleware.is_async_middleware(wrapper):
            raise MiddlewareKindMismatch(
                f"Worker middleware {getattr(wrapper, '__name__', repr(wrapper))!r} must be async: it "
                "runs on the event loop"
            )
