"""Groups what failed lately by its error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.operations.error_group import ErrorGroup

if TYPE_CHECKING:
    from forthwith.store.operator_queries import OperatorQueries, Transaction

ATTEMPTS_MAX = 2000
NARROWER = 4
SHORTEST_S = 1.0


async def error_groups(queries: OperatorQueries, within_s: float) -> list[ErrorGroup]:
    """Return what failed in the last `within_s` seconds, the most frequent first.

    Where that is too much to read, a shorter time tells what fails now just as well: groups are not exact
    then. Counting is cheap; what costs is to look up the task of each attempt.
    """
    async with queries.question() as question:
        readable_s = await _readable_s(question, within_s)
        rows = await question.rows("op_error_groups", within_s=readable_s, cap=ATTEMPTS_MAX)
    return [ErrorGroup(**row, is_exact=readable_s == within_s) for row in rows]


async def _readable_s(question: Transaction, within_s: float) -> float:
    """Return for how long back the attempts can be read."""
    while True:
        counted = await question.row("op_count_attempts", within_s=within_s, cap=ATTEMPTS_MAX)
        if counted["attempts"] < ATTEMPTS_MAX:
            return within_s
        within_s /= NARROWER
        if within_s < SHORTEST_S:
            return within_s
