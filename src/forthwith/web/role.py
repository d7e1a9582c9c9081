"""Who may do what."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """A viewer looks; an operator also acts."""

    VIEWER = "viewer"
    OPERATOR = "operator"
