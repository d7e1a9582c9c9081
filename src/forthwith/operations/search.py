"""Finds the jobs of a filter among millions, a bounded look at a time."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from forthwith.operations.checks import ID_MAX
from forthwith.operations.places import LIVE_STATES, places_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from forthwith.operations.job_filter import JobFilter
    from forthwith.operations.places import Key, Place
    from forthwith.store.operator_queries import Transaction

CANDIDATES_MAX = 2_000
FIRST_LOOK = 500
LOOK_MAX = 8_000
# Ids follow the time of the defer but for jobs whose transaction took long, and clocks that were set.
IDS_ASTRAY = 10_000
# By the index, row by row, as far as it takes: never a bitmap, or a sort, of all that comes after.
WALKING = b"set local enable_bitmapscan = off; set local enable_sort = off"


class Search:
    """Looks through the places of a filter from the newest job down, as far as it is told to."""

    def __init__(self, places: list[Place]) -> None:
        self._places = places
        self._size = FIRST_LOOK
        self.rows_looked_at = 0

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to look at."""
        return all(place.is_over for place in self._places)

    @property
    def floor(self) -> int:
        """The lowest id down to which all places have been looked through."""
        return max((place.floor for place in self._places if not place.is_over), default=0)

    @property
    def floor_at(self) -> datetime | None:
        """The earliest deferral among the jobs that were looked at."""
        return min((place.floor_at for place in self._places if place.floor_at), default=None)

    def take(self) -> list[Key]:
        """Return, newest first, what was found from the floor on and not taken yet."""
        floor, taken = self.floor, []
        for place in self._places:
            taken += [key for key in place.keys if key.id >= floor]
            place.keys = [key for key in place.keys if key.id < floor]
        return sorted(taken, reverse=True)

    async def look(self, question: Transaction) -> None:
        """Look further at the place that is behind the others."""
        behind = max(
            (place for place in self._places if not place.is_over), key=lambda place: place.floor
        )
        self.rows_looked_at += await behind.look(question, self._size)
        self._size = min(self._size * 2, LOOK_MAX)

    async def look_for(
        self, question: Transaction, wanted: int, *, rows_max: int, give_up_s: float
    ) -> list[Key]:
        """Look until `wanted` jobs are found, or `rows_max` rows are looked at, or until `give_up_s` by the
        monotonic clock. Returns what was found.

        However small the budget is, it gets further: the next call goes on below its floor.
        """
        began_at = self.floor
        found = self.take()
        while len(found) < wanted and not self.is_over:
            await self.look(question)
            found += self.take()
            is_spent = self.rows_looked_at >= rows_max or time.monotonic() >= give_up_s
            if is_spent and self.floor < began_at:
                break
        return found


async def search(
    question: Transaction,
    filter: JobFilter,  # noqa: A002
    states: Iterable[str],
    *,
    below_id: int = ID_MAX,
) -> Search:
    """Begin a search for the jobs of a filter in these states, below an id."""
    states = frozenset(states)
    if filter.ended_after is not None:
        states = states.difference(LIVE_STATES)
    down_to_id = await _first_id(question, filter)
    below_id = min(below_id, await _last_id(question, filter))
    live_ids = await _candidates(question, filter, states)
    await question.set_local(WALKING)
    return Search(
        places_of(filter, states, below_id=below_id, down_to_id=down_to_id, live_ids=live_ids)
    )


async def _first_id(question: Transaction, filter: JobFilter) -> int:  # noqa: A002
    if filter.deferred_after is None:
        return 0
    return await _id_at(question, filter.deferred_after, otherwise=0) - IDS_ASTRAY


async def _last_id(question: Transaction, filter: JobFilter) -> int:  # noqa: A002
    if filter.deferred_before is None:
        return ID_MAX
    return await _id_at(question, filter.deferred_before, otherwise=ID_MAX) + IDS_ASTRAY


async def _id_at(question: Transaction, at: datetime, *, otherwise: int) -> int:
    rows = await question.rows("op_id_at", at=at)
    return int(rows[0]["id"]) if rows else otherwise


async def _candidates(
    question: Transaction,
    filter: JobFilter,  # noqa: A002
    states: frozenset[str],
) -> list[int] | None:
    """Return all live jobs that come into question, if an index tells that they are few; else None."""
    live = states.intersection(LIVE_STATES)
    is_narrow = filter.queue or filter.lock or filter.worker_id or len(live) < len(LIVE_STATES)
    if filter.error is not None or not live or not is_narrow:
        return None
    running = await _running(question, filter) if "running" in live else []
    if running is None or filter.worker_id is not None:
        return running
    await question.set_local(WALKING)
    rows = await question.rows(
        "op_candidates",
        states=sorted(live),
        queue=filter.queue,
        lock=filter.lock,
        cap=CANDIDATES_MAX,
    )
    if max(Counter(row["part"] for row in rows).values(), default=0) >= CANDIDATES_MAX:
        return None
    return running + [row["id"] for row in rows]


async def _running(question: Transaction, filter: JobFilter) -> list[int] | None:  # noqa: A002
    rows = await question.rows("op_running", worker_id=filter.worker_id, cap=CANDIDATES_MAX)
    return None if len(rows) >= CANDIDATES_MAX else [row["id"] for row in rows]
