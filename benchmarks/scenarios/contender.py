"""Who is measured: a peer that is set up, and what it can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import child

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from benchmarks.backends import Backends


@dataclass(frozen=True, slots=True)
class Contender:
    """A peer that is set up: its folder, what runs it, its description, and its store."""

    peer: str
    command: list[str]
    description: dict[str, Any]
    backends: Backends

    @property
    def sizes(self) -> dict[str, int]:
        """How many jobs suit it."""
        sizes: dict[str, int] = self.description["sizes"]
        return sizes

    @property
    def backend(self) -> str:
        """Where it keeps its jobs."""
        return str(self.description.get("backend", "postgresql"))

    @property
    def history(self) -> bool:
        """Whether it keeps finished jobs, so that they can be counted."""
        return bool(self.description.get("history", True))

    def can(self, ability: str) -> bool:
        """Whether it offers this kind of job, or has this ability."""
        described = self.description
        return ability in (*described.get("kinds", ()), *described.get("abilities", ()))

    def fresh(self) -> AbstractContextManager[str]:
        """Another fresh database, for a scenario that needs more than one."""
        return self.backends.database(self.backend)

    def start(self, *arguments: str, database: str) -> AbstractAsyncContextManager[child.Child]:
        """Start a command of the peer."""
        return child.start(self.command, self.peer, *arguments, "--database", database)
