"""Groups what failed lately by its error."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from forthwith.operations.error_group import ErrorGroup

if TYPE_CHECKING:
    from forthwith.store.operator_queries import OperatorQueries

ATTEMPTS_MAX = 10_000
NARROWER = 8


async def error_groups(queries: OperatorQueries, within_s: float) -> list[ErrorGroup]:
    """Return what failed in the last `within_s` seconds, the most frequent first.

    Where that is too much to read, a shorter time tells what fails now just as well: groups are not exact
    then.
    """
    is_exact = True
    while True:
        rows = await queries.rows("op_error_groups", within_s=within_s, cap=ATTEMPTS_MAX)
        read = rows[0].pop("attempts") if rows else 0
        groups = [
            ErrorGroup(**{key: row[key] for key in row if key != "attempts"}, is_exact=is_exact)
            for row in rows
        ]
        if read < ATTEMPTS_MAX:
            return groups
        if within_s < 1:
            return [replace(group, is_exact=False) for group in groups]
        within_s, is_exact = within_s / NARROWER, False
