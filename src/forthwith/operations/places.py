"""Where the jobs of a filter can be, and how each place is looked through."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from forthwith.operations.job_filter import JobFilter
    from forthwith.store.operator_queries import Transaction

LIVE_STATES = ("ready", "suspect", "blocked", "scheduled", "running")
UNSUCCESSFUL = ("failed", "cancelled", "aborted")
FINAL = ("succeeded", *UNSUCCESSFUL)
ALL_STATES = (*LIVE_STATES, *FINAL)

_MEANINGS: dict[str | None, tuple[str, ...]] = {
    None: ALL_STATES,
    "todo": ("ready", "suspect", "blocked", "scheduled"),
    "ready": ("ready", "suspect"),
    "doing": ("running",),
}


class Key(NamedTuple):
    """A job that was found."""

    id: int
    state: str


@dataclass(slots=True)
class Place:
    """Jobs in the order of their ids, of which those from `floor` on have been looked at."""

    statement: str
    parameters: dict[str, Any]
    floor: int
    down_to: int
    keys: list[Key] = field(default_factory=list)
    floor_at: datetime | None = None
    is_over: bool = False

    async def look(self, question: Transaction, size: int) -> int:
        """Look at the next `size` rows; return how many there were."""
        row = await question.row(
            self.statement,
            **self.parameters,
            size=size,
            below_id=self.floor,
            down_to_id=self.down_to,
        )
        self.keys += map(Key, row["ids"], row["states"])
        self.floor_at = row["floor_at"] or self.floor_at
        self.is_over = row["looked_at"] < size
        if row["floor_id"] is not None:
            self.floor = row["floor_id"]
        return int(row["looked_at"])


def states_of(status: str | None) -> tuple[str, ...]:
    """Return the states that a filter's status means."""
    return _MEANINGS.get(status) or (status or "",)


def places_of(
    filter: JobFilter,  # noqa: A002
    states: Iterable[str],
    *,
    below_id: int,
    down_to_id: int,
    live_ids: Sequence[int] | None,
) -> list[Place]:
    """Return the places to look through for the jobs of a filter in these states.

    `live_ids` are all live jobs that come into question, where that is known.
    """
    wanted = frozenset(states)
    conditions = {**conditions_of(filter), "states": sorted(wanted)}

    def place(statement: str, **more: Any) -> Place:
        return Place(statement, {**conditions, **more}, below_id, down_to_id)

    if filter.error is not None:
        return [place("op_walk_attempts", error=filter.error)]
    places = []
    if wanted.intersection(LIVE_STATES):
        places.append(place("op_walk_live", ids=None if live_ids is None else list(live_ids)))
    if "succeeded" in wanted:
        places.append(place("op_walk_finished"))
    else:
        unsuccessful = [status for status in UNSUCCESSFUL if status in wanted]
        places += [place("op_walk_unsuccessful", status=status) for status in unsuccessful]
    return places


def conditions_of(filter: JobFilter) -> dict[str, Any]:  # noqa: A002
    """Return a filter's conditions as the statements name them."""
    return {
        "queue": filter.queue,
        "task": filter.task,
        "lock": filter.lock,
        "worker_id": filter.worker_id,
        "deferred_after": filter.deferred_after,
        "deferred_before": filter.deferred_before,
        "ended_after": filter.ended_after,
        "texts": None if filter.text is None else _as_in_json(filter.text),
    }


def _as_in_json(text: str) -> list[str]:
    """Return how a text may stand in JSON: as it is, if it is JSON itself, and escaped."""
    return sorted({text, json.dumps(text, ensure_ascii=False)[1:-1]})
