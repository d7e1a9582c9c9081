"""`forthwith defer`: add a job."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from forthwith.cli.completion import complete_queue, complete_task
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import CommandFailed
from forthwith.cli.output import print_json
from forthwith.cli.parameters import PRIORITY, due_time, json_object, moment, wait_s
from forthwith.cli.session import any_app, in_open_app, required_app

if TYPE_CHECKING:
    from datetime import datetime

    from forthwith import App

_HINTS_MAX = 3


class _JobOptions(NamedTuple):
    """How the job is to be deferred, in the words of `Task.configure`."""

    queue: str | None
    lock: str | None
    queueing_lock: str | None
    schedule_at: datetime | None
    priority: int | None


@click.command()
@click.argument("task", shell_complete=complete_task)
@click.argument("arguments", metavar="[JSON_ARGS]", required=False, type=json_object)
@click.option(
    "--queue",
    metavar="NAME",
    help="Put the job in this queue.",
    shell_complete=complete_queue,
)
@click.option("--lock", metavar="LOCK", help="Never run two jobs with this lock at a time.")
@click.option("--queueing-lock", metavar="LOCK", help="Let one job at most wait with this lock.")
@click.option("--at", metavar="TIME", type=moment, help="When: ISO 8601 with an offset from UTC.")
@click.option("--in", "in_s", metavar="WAIT", type=wait_s, help="When: 90, 90s, 5m, 2h or 1d.")
@click.option("--priority", type=PRIORITY, help="Higher runs first.")
@click.option(
    "--unknown", is_flag=True, help="Accept a task that the app does not know, or no app."
)
@click.option(
    "-i",
    "--ignore-already-enqueued",
    is_flag=True,
    help="Exit with 0 where a job with the same queueing lock waits already.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(
    task: str,
    arguments: dict[str, Any] | None,
    *,
    at: datetime | None,
    in_s: float | None,
    unknown: bool,
    ignore_already_enqueued: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Add a job that runs TASK with JSON_ARGS, a JSON object, and write its id.

    `-` for JSON_ARGS reads the object from standard input, which keeps it out of the list of
    processes. Exits with 1 if the app has no such task, or if a job with the same queueing lock
    waits already.
    """
    wanted = _JobOptions(**options, schedule_at=due_time(at, in_s))
    app = any_app() if unknown else required_app()
    if not unknown:
        _check_known(app, task)
    job_id = _defer(app, task, arguments or {}, wanted, ignore=ignore_already_enqueued)
    _report(job_id, as_json=as_json)


def _defer(
    app: App, task: str, arguments: dict[str, Any], wanted: _JobOptions, *, ignore: bool
) -> int | None:
    """Return the new job's id, or None where one waits already and that is to be ignored."""
    from forthwith.errors import AlreadyEnqueued

    async def defer(app: App) -> int:
        # The arguments go through the option, for as keywords some of their names would clash.
        deferrer = app.configure_task(task, task_kwargs=arguments, **wanted._asdict())
        return await deferrer.defer_async()

    try:
        return in_open_app(app, defer)
    except AlreadyEnqueued:
        if ignore:
            return None
        raise


def _report(job_id: int | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"id": job_id, "already_enqueued": job_id is None})
    elif job_id is None:
        click.echo("a job with this queueing lock waits already", err=True)
    else:
        click.echo(job_id)


def _check_known(app: App, task: str) -> None:
    if task in app.tasks:
        return
    near = difflib.get_close_matches(task, app.tasks, n=_HINTS_MAX)
    hint = f"did you mean {' or '.join(near)}?" if near else "--unknown defers it all the same"
    raise CommandFailed(ExitCode.FAILED, f"the app has no task `{task}`; {hint}")
