"""How a dashboard was set up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `dashboard(app, ...)` was told."""

    hide_arguments: bool = False
