"""`forthwith queues`: what waits in each queue, and what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.columns import Column
from forthwith.cli.documents import plain_document
from forthwith.cli.output import age_of, at_least, print_json, print_table
from forthwith.cli.session import any_app, at_desk, in_open_app

if TYPE_CHECKING:
    from forthwith import App
    from forthwith.operations import Desk, QueueState

_COUNTS = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted", "jobs_count")
_COLUMNS = (
    Column("queue", wide=True),
    Column("state"),
    Column("due", number=True),
    Column("blocked", number=True),
    Column("later", number=True),
    Column("running", number=True),
    Column("failed 1h", number=True),
    Column("/min", number=True),
    Column("oldest"),
    Column("workers", number=True),
)


@click.command(epilog="Example: forthwith queues --by-status")
@click.option("--by-status", is_flag=True, help="Count all jobs of each status, the history too.")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(*, by_status: bool, as_json: bool) -> None:
    """Show what waits in each queue, runs and fails, how old the oldest due job is, and who listens."""
    app = any_app()
    if as_json:
        print_json({"queues": in_open_app(app, _documents)})
    elif by_status:
        _print_by_status(in_open_app(app, _by_status))
    else:
        print_table(_COLUMNS, map(_row, at_desk(app, _states)), "No queues.")


async def _states(desk: Desk) -> list[QueueState]:
    return await desk.queues()


async def _by_status(app: App) -> list[dict[str, Any]]:
    rows = await app.job_manager.list_queues_async()
    return [{key: row[key] for key in ("name", *_COUNTS)} for row in rows]


async def _documents(app: App) -> list[dict[str, Any]]:
    from dataclasses import fields

    from forthwith.operations import Desk, QueueState

    async with Desk(app) as desk:
        states = {state.name: plain_document(state) for state in await desk.queues()}
    counts = {queue["name"]: queue for queue in await _by_status(app)}
    # A queue may have a history and nothing else, or somebody who listens and no job ever.
    empty = {field.name: None for field in fields(QueueState)} | dict.fromkeys(_COUNTS, 0)
    names = sorted({*states, *counts})
    return [
        {**empty, **states.get(name, {}), **counts.get(name, {}), "name": name} for name in names
    ]


def _row(queue: QueueState) -> tuple[object, ...]:
    return (
        queue.name,
        "paused" if queue.paused_at is not None else "open",
        at_least(queue.ready, is_exact=queue.is_exact),
        queue.blocked,
        queue.scheduled,
        queue.running,
        queue.failed_last_hour,
        f"{queue.ended_per_minute:.3g}",
        age_of(queue.oldest_waiting_at),
        queue.listeners,
    )


def _print_by_status(queues: list[dict[str, Any]]) -> None:
    titles = ["all" if key == "jobs_count" else key for key in _COUNTS]
    columns = [Column("queue", wide=True), *(Column(title, number=True) for title in titles)]
    rows = [[queue["name"], *(queue[key] for key in _COUNTS)] for queue in queues]
    print_table(columns, rows, "No jobs.")
