"""What commands write on stdout: tables and fields for people, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.columns import GAP, Column, least_width, that_fit
from forthwith.cli.printable import lines, one_line, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.text import Text

# Wide values are cut in tables, never in JSON and never in one job's details.
CELL_CHARACTERS_MAX = 80
# A pipe or a file has no width: rows stay whole, a line each, for grep and friends.
_WIDTH_WITHOUT_TERMINAL = 10_000


def print_json(document: dict[str, Any]) -> None:
    """Write one JSON document, in ASCII, so that no escape sequence can reach a terminal."""
    click.echo(json.dumps(document, indent=2, allow_nan=False, default=_json_default))


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]], empty: str) -> None:
    """Write `rows` under `columns`, one line each, or the line `empty` where there are none.

    Columns that a narrow terminal has no room for are left out, the last ones first, and named on stderr.
    """
    from rich.table import Table

    cells = [[*map(_cell, row)] for row in rows]
    if not cells:
        click.echo(empty)
        return
    on = console()
    shown = that_fit(columns, cells, on.width)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for place, column in enumerate(columns[:shown]):
        table.add_column(
            column.title,
            justify="right" if column.number else "left",
            no_wrap=not column.wide,
            min_width=least_width(columns, cells, place) if column.wide else None,
            overflow="ellipsis",
        )
    for row in cells:
        table.add_row(*row[:shown])
    on.print(table)
    if shown < len(columns):
        left_out = ", ".join(column.title for column in columns[shown:])
        click.echo(f"Not shown, for want of room: {left_out}.", err=True)


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Write a name and a value a line, the values whole and below each other."""
    shown = [(name, as_text(value)) for name, value in fields]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {one_line(value)}")


def print_block(text: str, indent: str = "    ") -> None:
    """Write text of several lines, such as a traceback, indented and made safe."""
    for line in lines(text.rstrip("\n")):
        click.echo(f"{indent}{line}".rstrip())


def console() -> Console:
    """Return what draws tables on stdout: whole rows where that is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_WITHOUT_TERMINAL
    return Console(width=width, markup=False, emoji=False, highlight=False)


def compact_json(value: object) -> str:
    """Return `value` as JSON on one line, for people."""
    return json.dumps(value, ensure_ascii=False, default=str)


def as_text(value: object) -> str:
    """Return how people see `value`: moments in UTC to the second, `-` for nothing."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            return ", ".join(map(as_text, value)) or "-"
    return str(value)


def as_iso(value: datetime) -> str:
    """Return a moment as ISO 8601 in UTC, as all JSON documents write it."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def age_of(at: datetime | None) -> str:
    """Return how long ago something was, by this machine's clock; `-` for never."""
    return "-" if at is None else as_age((datetime.now(UTC) - at).total_seconds())


def as_age(seconds: float) -> str:
    """Return a length of time in its largest unit, such as `12 s` or `3 h`."""
    for unit_s, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= unit_s:
            return f"{int(seconds // unit_s)} {unit}"
    return f"{max(0, int(seconds))} s"


def as_duration(seconds: float | None) -> str:
    """Return how long something took, in a unit that fits; `-` for None."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 60 else as_age(seconds)


def at_least(count: int, *, is_exact: bool) -> str:
    """Return a count; `+` says that there are more."""
    return f"{count}{'' if is_exact else '+'}"


def _cell(value: object) -> Text:
    from rich.text import Text

    # A Text is shown as it is: markup in a task's name is not interpreted.
    text = shortened(one_line(as_text(value)), CELL_CHARACTERS_MAX)
    return Text(text, no_wrap=True, overflow="ellipsis")


def _json_default(value: object) -> str:
    if isinstance(value, datetime):
        return as_iso(value)
    raise TypeError(f"{type(value).__name__} has no JSON form here")
