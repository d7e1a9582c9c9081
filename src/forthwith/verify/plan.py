"""What a campaign will do: its faults, drawn from a seed before it begins."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from forthwith.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class FaultKind(StrEnum):
    """The faults, by the names that `--faults` takes."""

    KILL = "kill"
    FREEZE = "freeze"
    STOP = "stop"
    TERMINATE = "terminate"
    CUT = "cut"
    VANISH = "vanish"
    SLOW = "slow"
    LOSE = "lose"
    RESTART = "restart"
    CRASH = "crash"
    OUTAGE = "outage"


MEANINGS = {
    FaultKind.KILL: "SIGKILL of a worker process",
    FaultKind.FREEZE: "SIGSTOP of a worker process until its lease is over, then SIGCONT",
    FaultKind.STOP: "SIGTERM of a worker process in the middle of its work",
    FaultKind.TERMINATE: "the server ends all connections of a worker",
    FaultKind.CUT: "all connections are cut on the way",
    FaultKind.VANISH: "a worker's packets vanish until its lease is over; its connections stay open",
    FaultKind.SLOW: "every packet is late for some seconds",
    FaultKind.LOSE: "a statement takes effect and its answer is lost",
    FaultKind.RESTART: "the server is stopped and started",
    FaultKind.CRASH: "the server crashes and recovers",
    FaultKind.OUTAGE: "the server is away for some seconds",
}
SERVER_FAULTS = frozenset({FaultKind.RESTART, FaultKind.CRASH, FaultKind.OUTAGE})
"""These need a server of the lab's own."""

GAP_S = (0.3, 2.0)
QUIET_START_S = 1.0
# Of the planned time, the last part is left alone, so that the last fault ends in it.
TAIL_S = 2.0


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault to inject."""

    at_s: float
    """Seconds from the campaign's beginning."""
    kind: FaultKind
    for_s: float
    """How long it lasts, in seconds; 0: a moment."""
    worker: int
    """To which worker, counted from 0."""
    choice: float
    """From 0 to 1, for whatever else has to be drawn."""


def draw_faults(
    seed: int,
    kinds: Iterable[FaultKind],
    *,
    duration_s: float,
    workers: int,
    lease_s: float,
) -> list[PlannedFault]:
    """Draw a schedule of faults for a campaign of `duration_s` seconds with so many workers.

    The kinds take turns in a shuffled order, so that each has its share. Some faults begin while
    the one before still lasts.
    """
    draw = random.Random(f"{seed} faults")
    faults: list[PlannedFault] = []
    now_s = QUIET_START_S
    for kind in _turns(sorted(set(kinds)), draw):
        now_s += draw.uniform(*GAP_S)
        for_s = _lasts_s(kind, draw, lease_s)
        if now_s + for_s > duration_s - TAIL_S and faults:
            break
        faults.append(PlannedFault(now_s, kind, for_s, draw.randrange(workers), draw.random()))
        overlaps = kind not in SERVER_FAULTS and draw.random() < 0.3
        now_s += 0.0 if overlaps else for_s
    return faults


def check_kinds(names: Iterable[str], *, own_server: bool) -> list[FaultKind]:
    """Return the faults of these names; none: all that can be done here.

    Raises `InvalidArgument` for unknown names, and for faults of a server that is not the lab's own.
    """
    known = [kind for kind in FaultKind if own_server or kind not in SERVER_FAULTS]
    chosen: list[FaultKind] = []
    for name in names:
        if name not in tuple(FaultKind):
            raise InvalidArgument("faults", f"knows no {name!r}; there are {', '.join(FaultKind)}")
        if FaultKind(name) not in known:
            raise InvalidArgument(
                "faults",
                f"{name!r} would stop your server: leave it out, or leave out --database to work on "
                "an embedded server of its own",
            )
        chosen.append(FaultKind(name))
    return chosen or known


def _turns(kinds: list[FaultKind], draw: random.Random) -> Iterator[FaultKind]:
    """Every kind in each turn. In every other turn those of the server come last, all together.

    Nobody is taken for dead right after the server's start: faults at other times show how quickly
    workers are rescued, and mixed turns show that the two get on.
    """
    apart = True
    while kinds:
        turn = draw.sample(kinds, len(kinds))
        yield from sorted(turn, key=SERVER_FAULTS.__contains__) if apart else turn
        apart = not apart


def _lasts_s(kind: FaultKind, draw: random.Random, lease_s: float) -> float:
    match kind:
        case FaultKind.FREEZE | FaultKind.VANISH:
            # Mostly longer than the lease and the sweep after it; now and then shorter.
            return draw.uniform(0.3, 0.8) * lease_s if draw.random() < 0.2 else lease_s + 2.5
        case FaultKind.SLOW:
            return draw.uniform(1.0, 3.0)
        case FaultKind.OUTAGE:
            return draw.uniform(2.0, 6.0)
        case _:
            return 0.0
