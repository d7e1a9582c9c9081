"""`forthwith workers`: who works, and whether they are alive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from forthwith.cli.columns import Column
from forthwith.cli.documents import plain_document
from forthwith.cli.output import age_of, as_age, print_json, print_table
from forthwith.cli.session import any_app, at_desk

if TYPE_CHECKING:
    from forthwith.operations import Desk, WorkerState

_COLUMNS = (
    Column("id", number=True),
    Column("name", wide=True),
    Column("host", wide=True),
    Column("pid", number=True),
    Column("queues", wide=True),
    Column("runs", number=True),
    Column("started"),
    Column("lease"),
)


@click.command(epilog="Example: forthwith workers --json")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(*, as_json: bool) -> None:
    """Show the registered workers, oldest first, what they run (of how much), and their leases."""

    async def ask(desk: Desk) -> list[WorkerState]:
        return await desk.workers()

    workers = at_desk(any_app(), ask)
    if as_json:
        print_json({"workers": [plain_document(worker) for worker in workers]})
    else:
        print_table(_COLUMNS, map(_row, workers), "No workers.")


def lease_in_words(worker: WorkerState) -> str:
    """Return how long a worker's lease lasts, or for how long it is over."""
    if worker.lease_left_s <= 0:
        return f"expired {as_age(-worker.lease_left_s)} ago"
    silent = ", silent" if worker.is_silent else ""
    return f"{as_age(worker.lease_left_s)} left{silent}"


def _row(worker: WorkerState) -> tuple[object, ...]:
    return (
        worker.id,
        worker.name,
        worker.host,
        worker.pid,
        "all" if worker.queues is None else worker.queues,
        f"{'?' if worker.running is None else worker.running}/{worker.concurrency}",
        f"{age_of(worker.started_at)} ago",
        lease_in_words(worker),
    )
