"""What a user asks of the lab."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """Where to measure what, and how large. `home` is a directory for logs that the lab may fill."""

    home: Path
    scenarios: tuple[str, ...]
    url: str | None = None
    """The user's own database; None: an embedded server of the lab's own."""
    rounds: int = 3
    jobs: int = 50_000
    """Of a burn-down."""
    seconds: float = 3.0
    """How long producers and workers work side by side."""
    concurrency: int = 100
    processes: int = 4
    """The most worker processes at a time that are measured."""
    fill: int = 100_000
    """The size of what lies about in full tables, and of the queue beside which memory is measured."""
    pickups: int = 100
    idle_workers: int = 10


def quick(settings: BenchSettings) -> BenchSettings:
    """Return the settings of a quick look. No size is larger than what was asked for."""
    return replace(
        settings,
        rounds=1,
        jobs=min(settings.jobs, 20_000),
        seconds=min(settings.seconds, 1.0),
        fill=min(settings.fill, 20_000),
        pickups=min(settings.pickups, 40),
    )
