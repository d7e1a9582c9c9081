"""A narrow terminal keeps what rows are about, and leaves out whole columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from rich.text import Text

from forthwith.cli.columns import Column, that_fit

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

COLUMNS = [Column("queue", wide=True), Column("due", number=True), Column("note", wide=True)]
ROWS = [[Text("a-queue-with-a-long-name"), Text("12345"), Text("something to say")]]


@pytest.mark.parametrize(
    ("width", "shown"), [(200, 3), (27, 3), (26, 2), (19, 2), (18, 1), (5, 1), (0, 1)]
)
def test_columns_are_left_out_from_the_right(width: int, shown: int) -> None:
    assert that_fit(COLUMNS, ROWS, width) == shown


def test_short_names_take_no_more_room_than_they_need() -> None:
    assert that_fit(COLUMNS, [[Text("mail"), Text("1"), Text("x")]], 5 + 2 + 3 + 2 + 4) == 3


@pytest.mark.parametrize("command", ["queues", "top"])
def test_names_of_queues_are_read_on_a_narrow_terminal(
    forthwith_cli: CommandLine, command: str
) -> None:
    forthwith_cli.run("defer", "--unknown", "parcel", "--queue", "parcels")
    ran = forthwith_cli.run(command, COLUMNS="40")
    [row] = [line for line in ran.stdout.splitlines() if line.startswith("parcels ")]
    assert len(row) <= 40
    assert "1" in row.split()
    assert "…" not in row


def test_what_is_not_shown_is_named(forthwith_cli: CommandLine) -> None:
    forthwith_cli.run("defer", "--unknown", "parcel", "--queue", "parcels")
    narrow = forthwith_cli.run("queues", COLUMNS="40")
    assert "Not shown, for want of room: " in narrow.stderr
    assert "workers" in narrow.stderr
    assert "workers" not in narrow.stdout
    assert forthwith_cli.run("queues").stderr == ""
