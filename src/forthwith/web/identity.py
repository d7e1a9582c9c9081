"""Who asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forthwith.web.role import Role


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who was let in."""

    role: Role
    user: str | None = None
    """The name of a login of the dashboard's own; None where there is none."""
