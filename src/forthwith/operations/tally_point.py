"""One minute of history, for charts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class TallyPoint:
    """Attempts that ended within a step of time, by outcome. Steps without any are there, with zeros."""

    at: datetime
    """The start of the step."""
    step_s: int
    """60, or a multiple of it for a longer history."""
    succeeded: int
    failed: int
    retried: int
    aborted: int
    crashed: int
    run_mean_s: float | None
    """None if none ended."""
    wait_mean_s: float | None

    @property
    def ended(self) -> int:
        """Attempts that ended, however."""
        return self.succeeded + self.failed + self.retried + self.aborted + self.crashed
