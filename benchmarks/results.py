"""What a benchmark measured: runs, and the medians and spreads that people read."""

from __future__ import annotations

import itertools
import json
import math
import statistics
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class PeerResult:
    """Who took part, or why not."""

    peer: str
    name: str
    version: str = ""
    settings: dict[str, str] = field(default_factory=dict)
    unavailable: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `values` are its measurements; `problems` say what was lost or doubled."""

    scenario: str
    variant: str
    peer: str
    round: int
    jobs: int
    values: dict[str, float] = field(default_factory=dict)
    samples: dict[str, list[float]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    # Why the peer has no number here, where it does not offer what the scenario asks for.
    not_offered: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """A whole benchmark, with the conditions it ran under."""

    conditions: dict[str, str]
    peers: list[PeerResult]
    runs: list[Run]

    def save(self, path: Path) -> None:
        """Write everything, raw samples included, as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def load(cls, path: Path) -> Result:
        """Read what save() wrote."""
        raw: dict[str, Any] = json.loads(path.read_text())
        return cls(
            conditions=raw["conditions"],
            peers=[PeerResult(**peer) for peer in raw["peers"]],
            runs=[Run(**run) for run in raw["runs"]],
        )

    def problems(self, peer: str = "") -> list[str]:
        """Everything that a run lost, doubled or failed at: of that peer, or (none) of all."""
        return [
            f"{run.scenario}, {run.peer}, round {run.round}: {problem}"
            for run in self.runs
            for problem in run.problems
            if peer in ("", run.peer)
        ]


def fresh_file(folder: Path, commit: str) -> Path:
    """Return where to save a result: no other one of the same day and commit is written over."""
    name = f"{datetime.now(UTC):%Y-%m-%d}-{commit}"
    path = folder / f"{name}.json"
    for number in itertools.count(2):
        if not path.exists():
            break
        path = folder / f"{name}-{number}.json"
    return path


class Spread(NamedTuple):
    """The median of a value over the rounds, and its lowest and highest."""

    median: float
    low: float
    high: float


def spread(values: list[float]) -> Spread | None:
    """Median and range; None without values."""
    if not values:
        return None
    return Spread(statistics.median(values), min(values), max(values))


def percentile(values: list[float], fraction: float) -> float:
    """The value below or at which `fraction` of `values` lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(fraction * len(ordered)) - 1)]
