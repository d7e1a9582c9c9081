"""What a deed changes about the jobs that it touches."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forthwith.errors import InvalidArgument
from forthwith.options import check_lock, check_name, check_priority, check_schedule

if TYPE_CHECKING:
    from datetime import datetime


class Changes(NamedTuple):
    """What becomes different about jobs. None leaves it as it is."""

    at: datetime | None = None
    """When they are due; jobs that are retried without it are due at once."""
    queue: str | None = None
    priority: int | None = None
    lock: str | None = None

    def check(self, action: str) -> None:
        """Raise `InvalidArgument` unless the action can change this, and the values can be had."""
        if self.at is not None or action == "reschedule":
            check_schedule("at", self.at)
        if self.queue is not None:
            check_name("queue", self.queue)
        if self.priority is not None:
            check_priority("priority", self.priority)
        if self.lock is not None:
            check_lock("lock", self.lock)
        for name, value in self._asdict().items():
            if value is not None and name not in _CHANGED_BY.get(action, ()):
                actions = " and ".join(each for each in _CHANGED_BY if name in _CHANGED_BY[each])
                raise InvalidArgument(name, f"is for {actions} alone, not for {action}")


_CHANGED_BY = {"retry": Changes._fields, "reschedule": ("at",)}
UNCHANGED = Changes()
