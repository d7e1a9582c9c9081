"""What a run measures, and what several rounds of it come to."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

Unit = Literal["jobs/s", "ms", "MiB", "bytes/job", "queries/min", "CPU s/min", "%", "jobs"]
_DIGITS: dict[Unit, int] = {"ms": 2, "CPU s/min": 2, "MiB": 1, "%": 1}


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its name and unit."""

    name: str
    value: float
    unit: Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One round of a scenario."""

    scenario: str
    round: int
    jobs: int
    """How many jobs were deferred."""
    figures: tuple[Figure, ...]
    problems: tuple[str, ...] = ()
    """What was amiss with the jobs: the run has no figures that count then."""
    setup: dict[str, float | int | str] = field(default_factory=dict)
    """What it was run with, such as concurrency and processes."""
    load_average_before: float | None = None
    load_average_after: float | None = None

    @property
    def ok(self) -> bool:
        """Whether every job was accounted for."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over several rounds."""

    name: str
    unit: Unit
    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The lowest."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest."""
        return max(self.values)


def spreads(runs: Sequence[Run]) -> list[Spread]:
    """Return each figure of these runs of one scenario over those that count, in their order."""
    values: dict[tuple[str, Unit], list[float]] = {}
    for run in runs:
        if run.ok:
            for figure in run.figures:
                values.setdefault((figure.name, figure.unit), []).append(figure.value)
    return [Spread(name, unit, tuple(found)) for (name, unit), found in values.items()]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that a `share` (0 to 1) of these is not above. There must be one at least."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def shown(value: float, unit: Unit) -> str:
    """Return a number as people read it."""
    return f"{value:,.{_DIGITS.get(unit, 0)}f}"
