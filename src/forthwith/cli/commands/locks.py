"""`forthwith locks`: who holds a lock, and how many wait behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from forthwith.cli.columns import Column
from forthwith.cli.documents import plain_document
from forthwith.cli.output import age_of, at_least, print_json, print_table
from forthwith.cli.session import any_app, at_desk

if TYPE_CHECKING:
    from forthwith.operations import Desk, LockState

_COLUMNS = (
    Column("lock", wide=True),
    Column("first in line", number=True),
    Column("status"),
    Column("behind it", number=True),
    Column("oldest"),
)


@click.command(epilog="Example: forthwith locks")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(*, as_json: bool) -> None:
    """Show the locks with the longest lines of jobs, up to 100: the one at the head, and how many wait."""

    async def ask(desk: Desk) -> list[LockState]:
        return await desk.locks()

    locks = at_desk(any_app(), ask)
    if as_json:
        print_json({"locks": [plain_document(lock) for lock in locks]})
    else:
        print_table(_COLUMNS, map(_row, locks), "No locks.")


def _row(lock: LockState) -> tuple[object, ...]:
    return (
        lock.lock,
        lock.holder_id,
        lock.holder_status,
        at_least(lock.waiting, is_exact=lock.is_exact),
        age_of(lock.oldest_waiting_at),
    )
