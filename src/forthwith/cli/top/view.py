"""What `top` knows at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from forthwith.operations import Overview


@dataclass(frozen=True, slots=True)
class View:
    """The last overview, and whether the database can still be asked."""

    database: str
    """Its URL without a password."""
    overview: Overview | None = None
    """None before the first answer."""
    ended: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """For queues, the attempts that ended in each of the last minutes, oldest first."""
    problem: str | None = None
    """Why the database cannot be asked; None if it can."""
    problem_since: datetime | None = None
