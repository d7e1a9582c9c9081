"""Columns of a table, and how many of them a narrow terminal has room for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.text import Text

GAP = 2
NAME_MIN = 12
"""As little as the first column keeps: what a row is about."""
WIDE_MIN = 6
"""As little as other wide columns keep."""


class Column(NamedTuple):
    """A column of a table. `wide` ones give way where the terminal is narrow."""

    title: str
    wide: bool = False
    number: bool = False


def least_width(columns: Sequence[Column], rows: Sequence[Sequence[Text]], place: int) -> int:
    """Return the fewest characters in which a column says something."""
    whole = max([len(columns[place].title), *(row[place].cell_len for row in rows)])
    if not columns[place].wide:
        return whole
    return min(whole, WIDE_MIN if place else NAME_MIN)


def that_fit(columns: Sequence[Column], rows: Sequence[Sequence[Text]], width: int) -> int:
    """Return how many columns, from the left, a screen has room for. The first one always is."""
    taken = 0
    for place in range(len(columns)):
        taken += least_width(columns, rows, place) + (GAP if place else 0)
        if taken > width and place:
            return place
    return len(columns)
