"""What a form for jobs says, as a filter, and the other way round."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from forthwith.errors import InvalidArgument
from forthwith.operations import JobFilter
from forthwith.web.pages import names

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = (
    "status",
    "queue",
    "task",
    "lock",
    "worker_id",
    "deferred_after",
    "deferred_before",
    "ended_after",
    "text",
    "error",
)


def filter_of(fields: Mapping[str, str]) -> JobFilter:
    """Return the filter of a form's fields; what is empty asks nothing. Raises `InvalidArgument`."""
    given = {
        name: names.read(text) if name in names.FIELDS else text
        for name in FIELDS
        if (text := fields.get(name, "").strip())
    }
    return JobFilter(
        status=given.get("status"),
        queue=given.get("queue"),
        task=given.get("task"),
        lock=given.get("lock"),
        worker_id=number("worker_id", given["worker_id"]) if "worker_id" in given else None,
        deferred_after=time_of("deferred_after", given.get("deferred_after")),
        deferred_before=time_of("deferred_before", given.get("deferred_before")),
        ended_after=time_of("ended_after", given.get("ended_after")),
        text=given.get("text"),
        error=given.get("error"),
    )


def fields_of(job_filter: JobFilter) -> dict[str, str]:
    """Return the fields that say the same as a filter."""
    values = {name: getattr(job_filter, name) for name in FIELDS}
    return {
        name: field_of(value) if isinstance(value, datetime) else str(value)
        for name, value in values.items()
        if value is not None
    }


def time_of(name: str, text: str | None) -> datetime | None:
    """Return a time as browsers write it: without an offset it is in UTC. Raises `InvalidArgument`."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidArgument(
            name, f"must be a time such as 2030-01-31T09:00, not {text!r}"
        ) from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def field_of(at: datetime) -> str:
    """Return a time as <input type=datetime-local> takes it, in UTC."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")


def number(name: str, text: str) -> int:
    """Return a number as a form carries it. Raises `InvalidArgument`."""
    if not text.isascii() or not text.isdigit():
        raise InvalidArgument(name, f"must be a number, not {text!r}")
    return int(text)
