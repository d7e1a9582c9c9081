"""Something that is wrong, in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and what to do. `code` stays the same from version to version."""

    severity: Severity
    code: str
    """Such as `no-worker`."""
    title: str
    detail: str
    advice: str
