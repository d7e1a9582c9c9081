"""One lock and its line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class LockState:
    """A lock: who holds it, who waits for it."""

    lock: str
    holder_id: int | None
    """The job at the head of the line; None for the moment between two."""
    holder_status: str | None
    """todo or doing."""
    waiting: int
    """Jobs behind the head."""
    oldest_waiting_at: datetime | None
    """When the first of these was deferred."""
    is_exact: bool
    """False if the count was cut off: there are at least so many."""
