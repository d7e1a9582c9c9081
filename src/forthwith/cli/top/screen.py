"""How a view looks on a screen of a given size. Pure: from a view to what rich draws."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group
from rich.table import Table
from rich.text import Text

from forthwith.cli.columns import GAP, that_fit
from forthwith.cli.output import age_of, as_text
from forthwith.cli.printable import one_line, shortened
from forthwith.cli.top.sections import Section, errors_section, queues_section, workers_section
from forthwith.cli.top.sparkline import sparkline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from forthwith.cli.top.view import View
    from forthwith.operations import Finding, Overview

FINDINGS_MAX = 4
_STYLES = {"error": "bold red", "warning": "yellow", "note": "cyan"}


class Size(NamedTuple):
    """Of a screen, in characters. A `height` of None is a page without an end."""

    width: int
    height: int | None


def screen(view: View, size: Size, *, help_text: str = "") -> RenderableType:
    """Return what to draw: no more lines than the screen has."""
    head = _head(view, size, help_text)
    if view.overview is None:
        return Group(*head[: size.height])
    sections = (
        queues_section(view, size.width),
        workers_section(view.overview, size.width),
        errors_section(view.overview),
    )
    room = None if size.height is None else size.height - len(head)
    shares = shared([len(section.rows) for section in sections], room)
    drawn: list[RenderableType] = [*head]
    for section, share in zip(sections, shares, strict=True):
        drawn += _drawn(section, share, size.width)
    return Group(*drawn)


def shared(wanted: Sequence[int], room: int | None) -> list[int]:
    """Return how many rows each section gets: fairly, the first ones first; -1 for not even its title.

    A section takes a line for its title, one between it and the one before, and one to say what is left
    out.
    """
    if room is None:
        return list(wanted)
    shares = [-1] * len(wanted)
    for place, count in enumerate(wanted):
        least = 2 + min(count, 2)
        if room >= least:
            shares[place], room = min(count, 2), room - least
    while room > 0:
        before = room
        for place, count in enumerate(wanted):
            if 0 <= shares[place] < count and room > 0:
                shares[place], room = shares[place] + 1, room - 1
        if room == before:
            break
    return shares


def _head(view: View, size: Size, help_text: str) -> list[Text]:
    lines = [_line(f"forthwith  {view.database}  {help_text}", "bold", size)]
    if view.problem is not None:
        away = f"THE DATABASE CANNOT BE ASKED for {age_of(view.problem_since)}: {view.problem}"
        lines.append(_line(away, "bold white on red", size))
    if view.overview is None:
        if view.problem is None:
            lines.append(_line("Asking the database …", "dim", size))
        return lines
    lines.append(_line(_totals(view.overview, size), "", size))
    lines += [_finding(finding, size) for finding in view.overview.findings[:FINDINGS_MAX]]
    left_out = len(view.overview.findings) - FINDINGS_MAX
    if left_out > 0:
        lines.append(_line(f"… and {left_out} more: forthwith doctor", "dim", size))
    return lines


def _totals(overview: Overview, size: Size) -> str:
    queues = overview.queues
    figures = (
        f"{as_text(overview.as_of)} UTC",
        f"{sum(queue.ready for queue in queues):,} due",
        f"{sum(queue.running for queue in queues):,} running",
        f"{sum(queue.scheduled for queue in queues):,} due later",
        f"{sum(queue.ended_per_minute for queue in queues):,.0f} ended a minute",
    )
    text = "  ".join(figures)
    bars = sparkline(
        [point.ended for point in overview.history], min(60, size.width - len(text) - 4)
    )
    return f"{text}  {bars}"


def _finding(finding: Finding, size: Size) -> Text:
    return _line(f"{finding.severity}: {finding.title}", _STYLES[finding.severity], size)


def _line(text: str, style: str, size: Size) -> Text:
    # Never markup: a queue's name may look like some.
    return Text(
        shortened(one_line(text).rstrip(), max(1, size.width)),
        style=style,
        no_wrap=True,
        overflow="ellipsis",
    )


def _drawn(section: Section, share: int, width: int) -> list[RenderableType]:
    if share < 0:
        return []
    left_out = len(section.rows) - share
    rows = section.rows if left_out == 0 else section.rows[: max(0, share - 1)]
    if not section.rows:
        return [Text(), Text(section.empty, style="dim")]
    table = Table(
        box=None,
        pad_edge=False,
        padding=(0, GAP, 0, 0),
        header_style="bold underline",
        width=width if width < _WIDE else None,
    )
    cells = [[*map(_cell, row.values)] for row in rows]
    shown = that_fit(section.columns, cells, width)
    for column in section.columns[:shown]:
        table.add_column(
            column.title,
            justify="right" if column.number else "left",
            no_wrap=True,
            overflow="ellipsis",
            ratio=1 if column.wide and width < _WIDE else None,
        )
    for row, its_cells in zip(rows, cells, strict=True):
        table.add_row(*its_cells[:shown], style=row.style)
    if left_out > 0:
        more = len(section.rows) - len(rows)
        return [Text(), table, Text(f"… {more} more", style="dim")]
    return [Text(), table]


_WIDE = 1000


def _cell(value: object) -> Text:
    return Text(one_line(as_text(value)), no_wrap=True, overflow="ellipsis")
