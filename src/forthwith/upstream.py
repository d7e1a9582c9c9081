"""The one place that touches Procrastinate's internals.

Everything else in forthwith uses Procrastinate's documented names. What has no documented name is
wrapped here, so that a new Procrastinate release is checked by reading one file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import procrastinate
import procrastinate.worker
from procrastinate.periodic import PeriodicTask
from psycopg.conninfo import make_conninfo

if TYPE_CHECKING:
    from procrastinate.connector import BaseConnector
    from procrastinate.tasks import Task


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


def conninfo_of(connector: BaseConnector) -> str | None:
    """Return the connection string of Procrastinate's psycopg connectors; None of others."""
    parameters = getattr(connector, "_pool_args", None)
    if parameters is None:
        return None
    return make_conninfo(parameters.get("conninfo", ""), **(parameters.get("kwargs") or {}))


def stock_worker(app: procrastinate.App, options: dict[str, Any]) -> Any:
    """Make Procrastinate's own worker for an app whose connector is Procrastinate's."""
    return procrastinate.worker.Worker(app=app, **options)


def import_tasks(app: procrastinate.App) -> None:
    """Import the modules of `import_paths`, once."""
    app.perform_import_paths()  # type: ignore[no-untyped-call]
