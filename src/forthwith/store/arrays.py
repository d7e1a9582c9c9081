"""Writes columns of values as PostgreSQL's array literals.

psycopg makes an array element by element, in Python, at about a microsecond each: a batch of rows in
eight columns takes longer to write than to insert. Here a few calls do the work for a whole column.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SEPARATOR = "\0"  # in no text that PostgreSQL takes
_BETWEEN = '","'


def written(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a statement's parameters with each list as the text of an array, which it has to cast."""
    return {
        name: array(value) if isinstance(value, list) else value
        for name, value in parameters.items()
    }


def array(values: list[Any]) -> Any:
    """Return numbers, booleans, strings or aware datetimes as an array's text; None becomes NULL.

    All are of one type. A list of anything else comes back as it is, for psycopg to write.
    """
    distinct = set(values)
    has_null = None in distinct
    kinds = {type(value) for value in distinct if value is not None}
    if not kinds <= {int, float, bool, str, datetime} or len(kinds) > 1:
        return values
    if len(distinct) == 1:  # most columns say the same in every row
        return _joined([_element(values[0])] * len(values))
    if has_null or kinds in ({bool}, {float}, {datetime}):
        return _joined([_element(value) for value in values])
    return _integers(values) if kinds <= {int} else _texts(values)


def _integers(values: Sequence[int]) -> str:
    return _joined(list(map(str, values)))


def _texts(values: Sequence[str]) -> str:
    return f'{{"{_escaped(_SEPARATOR.join(values)).replace(_SEPARATOR, _BETWEEN)}"}}'


def _joined(elements: list[str]) -> str:
    return f"{{{','.join(elements)}}}"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, datetime):
        return f'"{value.isoformat()}"'
    return f'"{_escaped(value)}"' if isinstance(value, str) else str(value)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
