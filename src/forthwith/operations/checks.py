"""What an operator passes, checked at the call. What is wrong raises `InvalidArgument`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.errors import InvalidArgument
from forthwith.operations.job_filter import JobFilter
from forthwith.operations.preview import ACTIONS
from forthwith.options import check_count, check_name, check_positive, kind

if TYPE_CHECKING:
    from collections.abc import Sequence

ID_MAX = 2**63 - 1
HOUR_S = 3600.0
ERRORS_WITHIN_MAX_S = 7 * 24 * HOUR_S
HISTORY_WITHIN_MAX_S = 30 * 24 * HOUR_S


def check_id(argument: str, value: object) -> int:
    """Return `value` if it can be a job's id."""
    return check_count(argument, value, at_most=ID_MAX)


def check_ids(ids: Sequence[int]) -> list[int]:
    """Return `ids` without those that are there twice, if all can be jobs' ids."""
    if isinstance(ids, str | bytes) or not hasattr(ids, "__iter__"):
        raise InvalidArgument("ids", f"must be a list of integers, not {kind(ids)}")
    return list(
        dict.fromkeys(check_id(f"ids[{place}]", job_id) for place, job_id in enumerate(ids))
    )


def check_filter(value: object) -> JobFilter:
    """Return `value` if it is a filter."""
    if not isinstance(value, JobFilter):
        raise InvalidArgument("filter", f"must be a JobFilter, not {kind(value)}")
    return value


def check_cursor(argument: str, cursor: object) -> int:
    """Return the id below which a cursor goes on; None begins at the newest job."""
    if cursor is None:
        return ID_MAX
    is_ours = isinstance(cursor, str) and cursor.isascii() and cursor.isdigit()
    if not is_ours or len(str(cursor)) > len(str(ID_MAX)) or int(str(cursor)) > ID_MAX:
        raise InvalidArgument(argument, "is no cursor: pass the next_cursor of the page before")
    return int(str(cursor))


def check_within(within_s: float, *, at_most_s: float) -> float:
    """Return `within_s` if so far back can be asked."""
    if check_positive("within_s", within_s) > at_most_s:
        raise InvalidArgument("within_s", f"must be at most {at_most_s:,.0f} seconds")
    return within_s


def check_periodic_id(value: object) -> str:
    """Return `value` if it can tell a task's crons apart."""
    return "" if value == "" else check_name("periodic_id", value)


def check_action(action: str) -> None:
    """Raise unless there is such an action."""
    if action not in ACTIONS:
        raise InvalidArgument("action", f"must be one of {', '.join(ACTIONS)}, not {action!r}")
