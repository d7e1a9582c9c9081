"""What a scenario is: a name, a meaning, and one round of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith.bench.bench import Bench, Measured
    from forthwith.bench.settings import BenchSettings

CONNECTIONS_OF_A_WORKER = 5
CONNECTIONS_OF_THE_LAB = 8


@dataclass(frozen=True, slots=True)
class Scenario:
    """A kind of work that is measured."""

    name: str
    number: str
    """As in the comparison with other queues."""
    meaning: str
    run: Callable[[Bench], Awaitable[Measured]]
    """One round, on empty tables."""
    is_default: bool = False
    workers: Callable[[BenchSettings], int] = lambda _settings: 1
    """How many worker processes it needs at a time."""
    more_connections: int = 0

    def connections(self, settings: BenchSettings) -> int:
        """Return how many connections it needs at a time, at the most."""
        workers = self.workers(settings) * CONNECTIONS_OF_A_WORKER
        return workers + CONNECTIONS_OF_THE_LAB + self.more_connections
