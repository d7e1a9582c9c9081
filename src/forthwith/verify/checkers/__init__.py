"""What must hold of a history: the invariants I1 to I10, each with its statement and its check."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forthwith.verify.checkers import attempts, completions, jobs, locks, workers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forthwith.verify.history import History

SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class Invariant:
    """Something that must hold. `check` yields a line for each violation."""

    name: str
    statement: str
    check: Callable[[History], Iterator[str]]


INVARIANTS = (
    Invariant("I1", "No accepted job is lost: each ends in a final state, in history", jobs.lost),
    Invariant("I2", "After the faults, every job is final within a bounded time", jobs.unfinished),
    Invariant(
        "I3", "Nothing is doing without a live lease for longer than a lease", workers.overdue
    ),
    Invariant(
        "I4", "Every success has its effect; each run to its end is counted", attempts.effects
    ),
    Invariant(
        "I5", "One accepted completion a job, of its newest claim's run", completions.completions
    ),
    Invariant("I6", "What must run alone does: one lock's jobs, one job, suspects", locks.overlaps),
    Invariant(
        "I7", "Jobs of one lock start in the order in which they were deferred", locks.disorder
    ),
    Invariant("I8", "Workers recover, or exit non-zero; 0 only when asked to stop", workers.exits),
    Invariant("I9", "A healthy worker keeps its lease", workers.unjustified_rescues),
    Invariant("I10", "At most one new job waits under a queueing lock", locks.crowds),
)


@dataclass(frozen=True, slots=True)
class Violation:
    """One case in which an invariant does not hold."""

    invariant: str
    text: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the checkers say of a history."""

    history: History
    violations: tuple[Violation, ...]

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return not self.violations

    @property
    def violated(self) -> set[str]:
        """The names of the invariants that do not hold."""
        return {violation.invariant for violation in self.violations}

    def text(self) -> str:
        """Return the verdict in words, a line for each invariant and its first violations."""
        counts = Counter(violation.invariant for violation in self.violations)
        lines = [_extent(self.history)]
        for invariant in INVARIANTS:
            count = counts[invariant.name]
            state = "holds" if not count else f"VIOLATED {count} times"
            lines.append(f"{invariant.name} {invariant.statement}: {state}")
            texts = [v.text for v in self.violations if v.invariant == invariant.name]
            lines += [f"    {text}" for text in texts[:SHOWN_MAX]]
            if count > SHOWN_MAX:
                lines.append(f"    and {count - SHOWN_MAX} more")
        return "\n".join(lines)


def check(history: History) -> Verdict:
    """Hold the history against every invariant."""
    return Verdict(
        history,
        tuple(
            Violation(invariant.name, text)
            for invariant in INVARIANTS
            for text in invariant.check(history)
        ),
    )


def _extent(history: History) -> str:
    faults = Counter(fault.kind for fault in history.faults if fault.hits)
    injected = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items())) or "none"
    return (
        f"{len(history.jobs)} jobs, {len(history.runs)} runs, {len(history.changes)} changes, "
        f"{len(history.workers)} worker processes; faults: {injected}"
    )
