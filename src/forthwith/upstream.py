"""The one place that touches Procrastinate's internals.

Everything else in forthwith uses Procrastinate's documented names. What has no documented name is
wrapped here, so that a new Procrastinate release is checked by reading one file.
"""

from __future__ import annotations

import inspect
import logging
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import attr
import procrastinate
import procrastinate.tasks
import procrastinate.worker
from procrastinate import builtin_tasks
from procrastinate.exceptions import AlreadyEnqueued
from procrastinate.periodic import PeriodicDeferrer, PeriodicRegistry, PeriodicTask
from psycopg import pq
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import FrameType

    from procrastinate.connector import BaseConnector
    from procrastinate.periodic import TaskAtTime
    from procrastinate.tasks import Task


logger = logging.getLogger(__name__)


class Adopted(NamedTuple):
    """What is taken over from one of Procrastinate's psycopg connectors."""

    conninfo: str
    json_dumps: Callable[[Any], str | bytes] | None
    json_loads: Callable[[str], Any] | None


def register_task(blueprint: procrastinate.Blueprint, task: Task[..., Any, ...]) -> None:
    """Make `task` known to `blueprint` under its name and its aliases.

    Procrastinate only registers tasks that its own decorator made. Raises `TaskAlreadyRegistered`.
    """
    blueprint._register_task(task)


def cron_problem(cron: str) -> str | None:
    """Say what is wrong with a cron expression, or return None.

    Procrastinate itself looks at it only when a worker starts.
    """
    probe: PeriodicTask[..., Any, ...] = PeriodicTask(
        task=cast("Any", None), cron=cron, periodic_id="", configure_kwargs={}
    )
    try:
        probe.croniter.get_next()
    except ValueError as error:  # croniter's errors for expressions and for dates that never come
        return str(error)
    return None


def is_builtin(task: str) -> bool:
    """Whether a task of that name comes with Procrastinate: every app has it, under two names."""
    return task.removeprefix("builtin:").startswith(f"{builtin_tasks.__name__}.")


def register_builtin_tasks(app: procrastinate.App) -> None:
    """Give `app` Procrastinate's builtin tasks, under their names and their names of old.

    Procrastinate moves the same task objects from app to app, and puts one more `builtin:` before
    their names each time: only a process's first app would have them under the documented names.
    """
    for task in set(builtin_tasks.builtin.tasks.values()):
        own: Task[..., Any, ...] = procrastinate.tasks.Task(
            task.func,
            blueprint=app,
            name=f"builtin:{task.full_path}",
            aliases=[task.full_path],
            pass_context=task.pass_context,
            queue=task.queue,
        )
        register_task(app, own)
        task.name, task.blueprint = own.name, app  # for builtin_tasks.remove_old_jobs.defer()


def adopted_from(connector: BaseConnector) -> Adopted | None:
    """Return what is taken over from Procrastinate's psycopg connectors; None from others."""
    if not isinstance(
        connector, procrastinate.PsycopgConnector | procrastinate.SyncPsycopgConnector
    ):
        return None
    parameters = connector._pool_args
    return Adopted(
        conninfo_from(parameters.get("conninfo", ""), parameters.get("kwargs")),
        connector._json_dumps,
        connector._json_loads,
    )


def conninfo_from(conninfo: str, options: dict[str, Any] | None) -> str:
    """Return one connection string from a pool's `conninfo` and `kwargs`.

    The latter also hold what psycopg.connect() takes for itself, such as `autocommit`: left out.
    """
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    return make_conninfo(
        conninfo, **{name: value for name, value in (options or {}).items() if name in known}
    )


def warn_if_main(what: str) -> None:
    """Log a warning if the code that called forthwith is the script that runs, not a module.

    Procrastinate's own check takes forthwith for the caller.
    """
    frame = inspect.currentframe()
    while frame is not None and _package_of(frame) in ("forthwith", "procrastinate"):
        frame = frame.f_back
    if frame is not None and _package_of(frame) == "__main__":
        logger.warning(
            "%s is made in the script that runs (%s): its tasks are named __main__.…, which a worker "
            "started in another way does not know. Define it in a module, and import that",
            what,
            sys.argv[0],
            extra={"action": "app_defined_in___main__"},
        )


def _package_of(frame: FrameType) -> str:
    name: str = frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def is_contributed(connector: BaseConnector) -> bool:
    """Whether it is a connector of `procrastinate.contrib`: for Django, SQLAlchemy, aiopg, psycopg2."""
    return any(
        cls.__module__.startswith("procrastinate.contrib.") for cls in type(connector).__mro__
    )


def stock_worker(app: procrastinate.App, options: dict[str, Any]) -> Any:
    """Make Procrastinate's own worker for an app whose connector is Procrastinate's."""
    return procrastinate.worker.Worker(app=app, **options)


def import_tasks(app: procrastinate.App) -> None:
    """Import the modules of `import_paths`, once."""
    app.perform_import_paths()  # type: ignore[no-untyped-call]


class DiscreetRegistry(PeriodicRegistry):
    """Procrastinate's registry of periodic tasks, which keeps their arguments out of the log."""

    def register_task(self, task: Any, cron: str, periodic_id: str, configure_kwargs: Any) -> Any:
        """Register a task; what is logged has no options, and the arguments are among those."""
        bare: Any = super().register_task(task, cron, periodic_id, {})
        registered = attr.evolve(bare, configure_kwargs=configure_kwargs)
        self.periodic_tasks[task.name, periodic_id] = registered
        return registered


class DiscreetDeferrer(PeriodicDeferrer):
    """Procrastinate's periodic deferrer, which logs what it defers without the arguments."""

    async def defer_jobs(self, jobs_to_defer: Iterable[TaskAtTime]) -> None:
        """Defer the jobs of these ticks, each unless somebody has."""
        for periodic, timestamp in jobs_to_defer:
            options: dict[str, Any] = dict(periodic.configure_kwargs)
            options["task_kwargs"] = {**(options.get("task_kwargs") or {}), "timestamp": timestamp}
            deferrer = periodic.task.configure(**options)
            try:
                job_id = await deferrer.job_manager.defer_periodic_job(
                    job=deferrer.job, periodic_id=periodic.periodic_id, defer_timestamp=timestamp
                )
            except AlreadyEnqueued:
                _log_tick(periodic, timestamp, "is not deferred: one waits under its queueing lock")
            else:
                told = "is deferred" if job_id else "was deferred by another worker, or is paused"
                _log_tick(periodic, timestamp, told, job_id)


def _log_tick(
    periodic: PeriodicTask[..., Any, ...], timestamp: int, told: str, job_id: int | None = None
) -> None:
    logger.log(
        logging.INFO if job_id else logging.DEBUG,
        "Periodic task %s (%r) for %d %s",
        periodic.task.name,
        periodic.periodic_id,
        timestamp,
        told,
        extra={"action": "periodic_tick", "task": periodic.task.name, "job_id": job_id},
    )


def discreet_registry() -> PeriodicRegistry:
    """Make a registry of periodic tasks that logs no arguments."""
    return DiscreetRegistry()  # type: ignore[no-untyped-call]
