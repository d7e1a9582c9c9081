"""`forthwith tasks`: which tasks there are, who knows them, and how their jobs fare."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from forthwith.cli.columns import Column
from forthwith.cli.documents import plain_document
from forthwith.cli.output import as_duration, at_least, print_json, print_table
from forthwith.cli.session import any_app, at_desk

if TYPE_CHECKING:
    from forthwith.operations import Desk, TaskState

_COLUMNS = (
    Column("task", wide=True),
    Column("known by"),
    Column("waiting", number=True),
    Column("running", number=True),
    Column("ended", number=True),
    Column("failed", number=True),
    Column("p50", number=True),
    Column("p95", number=True),
    Column("p95 wait", number=True),
)


@click.command(epilog="Example: forthwith --app shop:app tasks")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(*, as_json: bool) -> None:
    """Show the tasks that the app or a worker knows, or that have jobs or a history.

    What has ended and failed, and how long it ran (p50, p95) and waited, is of the last hour.
    """

    async def ask(desk: Desk) -> list[TaskState]:
        return await desk.tasks()

    tasks = at_desk(any_app(), ask)
    if as_json:
        print_json({"tasks": [plain_document(task) for task in tasks]})
    else:
        print_table(_COLUMNS, map(_row, tasks), "No tasks.")


def _row(task: TaskState) -> tuple[object, ...]:
    return (
        task.name,
        _known_by(task),
        at_least(task.waiting, is_exact=task.is_exact),
        task.running,
        task.ended_last_hour,
        task.failed_last_hour,
        as_duration(task.run_p50_s),
        as_duration(task.run_p95_s),
        as_duration(task.wait_p95_s),
    )


def _known_by(task: TaskState) -> str:
    if task.known_by:
        return f"{task.known_by} worker{'' if task.known_by == 1 else 's'}"
    return "this app" if task.is_known else "nobody"
