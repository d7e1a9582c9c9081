"""How large a run is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.scenarios.contender import Contender


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the runs are: quick, default or full."""

    mode: str
    concurrency: int
    batch_size: int

    @property
    def quick(self) -> bool:
        """Whether small runs are asked for."""
        return self.mode == "quick"

    def by_mode(self, *, quick: float, default: float, full: float) -> float:
        """The one of three that fits."""
        return {"quick": quick, "default": default, "full": full}[self.mode]

    def size(self, *, quick: int, default: int, full: int) -> int:
        """The one of three whole numbers that fits."""
        return int(self.by_mode(quick=quick, default=default, full=full))

    def burn_down_jobs(self, contender: Contender) -> int:
        """As many jobs as make the run a few seconds long."""
        return contender.sizes["burn_down_quick" if self.quick else "burn_down"]

    def short_jobs(self, contender: Contender, most: int) -> int:
        """A short run's jobs: half of a quick burn-down (full: all of it), at most `most`."""
        share = 1 if self.mode == "full" else 2
        return max(1, min(contender.sizes["burn_down_quick"] // share, most))

    def memory_waiting(self, contender: Contender) -> int:
        """As many waiting jobs as can be deferred in reasonable time."""
        return contender.sizes["memory_waiting_quick" if self.quick else "memory_waiting"]
