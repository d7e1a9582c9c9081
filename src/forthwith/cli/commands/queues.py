"""`forthwith queues`: how many jobs each queue holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.output import Column, print_json, print_table
from forthwith.cli.session import any_app, in_open_app

if TYPE_CHECKING:
    from forthwith import App

_COUNTS = ("todo", "doing", "succeeded", "failed", "cancelled", "aborted", "jobs_count")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(*, as_json: bool) -> None:
    """Show how many jobs each queue holds, by status."""
    queues = in_open_app(any_app(), _queues)
    if as_json:
        print_json({"queues": queues})
    else:
        _print(queues)


async def _queues(app: App) -> list[dict[str, Any]]:
    rows = await app.job_manager.list_queues_async()
    return [{key: row[key] for key in ("name", *_COUNTS)} for row in rows]


def _print(queues: list[dict[str, Any]]) -> None:
    titles = ["all" if key == "jobs_count" else key for key in _COUNTS]
    columns = [Column("queue", wide=True), *(Column(title, number=True) for title in titles)]
    rows = [[queue["name"], *(queue[key] for key in _COUNTS)] for queue in queues]
    print_table(columns, rows, "No jobs.")
