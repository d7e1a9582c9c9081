"""What a scenario says of itself: who can take part, when, and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from benchmarks.results import Run
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: how a run of it goes, what a peer needs for it, and how many rounds it gets.

    `run` gets the contender, the plan, a fresh database and the number of the round.
    `needs` are kinds and abilities that a peer must all have; `backends` those that it fits.
    `quick` says whether it takes part with `--quick`, `default` whether without `--full`.
    """

    run: Callable[[Contender, Plan, str, int], Awaitable[Run | list[Run]]]
    needs: tuple[str, ...] = ()
    backends: tuple[str, ...] = ("postgresql", "redis", "sqlite")
    rounds: int = 1
    rounds_quick: int = 1
    rounds_full: int = 3
    quick: bool = True
    default: bool = True

    def takes_part(self, mode: str) -> bool:
        """Whether it is run in a mode when nobody asks for it by name."""
        return {"quick": self.quick, "default": self.default, "full": True}[mode]

    def rounds_of(self, mode: str) -> int:
        """How many rounds it has in a mode."""
        if mode == "quick":
            return self.rounds_quick
        return self.rounds_full if mode == "full" else self.rounds

    def missing(self, contender: Contender) -> str:
        """Why this peer cannot take part; empty if it can."""
        if contender.backend not in self.backends:
            return f"not for {contender.backend}"
        lacking = [need for need in self.needs if not contender.can(need)]
        return f"not offered: {', '.join(lacking)}" if lacking else ""
