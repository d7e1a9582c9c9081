"""The scenarios, one a file; `ALL` has them in the order of their numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.bench.scenarios.burn_down import BURN_DOWN
from forthwith.bench.scenarios.defers import DEFERS
from forthwith.bench.scenarios.full_tables import FULL_TABLES
from forthwith.bench.scenarios.idle import IDLE
from forthwith.bench.scenarios.memory import MEMORY
from forthwith.bench.scenarios.old_snapshot import OLD_SNAPSHOT
from forthwith.bench.scenarios.pickup import PICKUP
from forthwith.bench.scenarios.processes import PROCESSES
from forthwith.bench.scenarios.retries import RETRIES
from forthwith.bench.scenarios.steady import STEADY
from forthwith.bench.scenarios.tasks import TASKS
from forthwith.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forthwith.bench.scenarios.scenario import Scenario

ALL: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        BURN_DOWN,
        STEADY,
        PICKUP,
        DEFERS,
        TASKS,
        FULL_TABLES,
        OLD_SNAPSHOT,
        PROCESSES,
        RETRIES,
        MEMORY,
        IDLE,
    )
}
EVERYTHING = "all"
_FAULTS = ("faults", "s10")


def chosen(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names of the scenarios that are meant, in their order; no names mean the default ones.

    A scenario may be called by its number, too. Raises `InvalidArgument` for a name that is unknown.
    """
    wanted = [name.strip().lower().replace("_", "-") for name in names if name.strip()]
    if not wanted:
        return tuple(name for name, scenario in ALL.items() if scenario.is_default)
    if EVERYTHING in wanted:
        return tuple(ALL)
    found = {_named(name) for name in wanted}
    return tuple(name for name in ALL if name in found)


def _named(name: str) -> str:
    if name in _FAULTS:
        raise InvalidArgument("scenario", "faults (S10) are what `forthwith verify` is for")
    for scenario in ALL.values():
        if name in (scenario.name, scenario.number.lower()):
            return scenario.name
    raise InvalidArgument("scenario", f"knows no {name!r}; there are: {', '.join(ALL)}, and all")
