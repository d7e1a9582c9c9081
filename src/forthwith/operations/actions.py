"""Does something to jobs that an operator names, one by one or by a filter."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from forthwith.operations.checks import ID_MAX
from forthwith.operations.deeds import APPLIES_TO, BATCH_MAX, Deeds
from forthwith.operations.jobs import summaries
from forthwith.operations.places import Key, states_of
from forthwith.operations.preview import ActionResult, Preview, Skipped
from forthwith.operations.search import search

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from forthwith.operations.changes import Changes
    from forthwith.operations.job_filter import JobFilter
    from forthwith.operations.preview import Action
    from forthwith.store.operator_queries import OperatorQueries

SAMPLE_SIZE = 5
PREVIEW_TIME_MAX_S = 0.08
PREVIEW_ROWS_MAX = 500_000
LOOK_TIME_MAX_S = 1.0
LOOK_ROWS_MAX = 1_000_000

CHANGED = "changed meanwhile, or held by somebody else"
GONE = "not there"
_WAITS: dict[Action, str] = {
    "retry": "waiting already",
    "abort": "waiting: cancel it instead",
}
_RUNS: dict[Action, str] = {
    "retry": "running: abort it first",
    "cancel": "running: abort it instead",
    "reschedule": "running",
    "delete": "running: abort it first",
}
_ENDED: dict[Action, str] = {
    "retry": "succeeded",
    "cancel": "finished",
    "abort": "finished",
    "reschedule": "finished: retry it instead",
}


class Actions:
    """What can be done to jobs. Nothing here touches a running one, but abort."""

    def __init__(self, queries: OperatorQueries) -> None:
        self._queries = queries
        self._deeds = Deeds(queries)

    async def do(self, action: Action, ids: Sequence[int], changes: Changes) -> ActionResult:
        """Do it to these jobs, as far as it applies to them."""
        done, reasons = 0, Counter[str]()
        for batch in _batches(ids):
            states = await self._states(batch)
            fitting = [job_id for job_id in batch if states.get(job_id) in APPLIES_TO[action]]
            done_now = await self._deeds.do(action, fitting, APPLIES_TO[action], changes)
            reasons += _reasons(action, (states.get(job_id) for job_id in batch))
            reasons[CHANGED] += len(fitting) - done_now
            done += done_now
        return ActionResult(action, done, skipped_for(reasons), is_complete=True)

    async def preview(self, action: Action, filter: JobFilter) -> Preview:  # noqa: A002
        """Count what `apply` would be done to."""
        give_up_s = time.monotonic() + PREVIEW_TIME_MAX_S
        async with self._queries.question() as question:
            looking = await search(question, filter, states_of(filter.status))
            found = await looking.look_for(
                question,
                PREVIEW_ROWS_MAX,
                rows_max=PREVIEW_ROWS_MAX,
                give_up_s=give_up_s,
            )
            fitting = [key.id for key in found if key.state in APPLIES_TO[action]]
            sample = await summaries(question, fitting[:SAMPLE_SIZE])
        return Preview(
            action=action,
            count=len(fitting),
            is_exact=looking.is_over,
            sample=sample,
            skipped=skipped_for(_reasons(action, (key.state for key in found))),
        )

    async def preview_of(self, action: Action, ids: Sequence[int]) -> Preview:
        """Count to how many of these `do` would do it."""
        states: dict[int, str] = {}
        for batch in _batches(ids):
            states |= await self._states(batch)
        fitting = sorted(
            (each for each in ids if states.get(each) in APPLIES_TO[action]), reverse=True
        )
        async with self._queries.question() as question:
            sample = await summaries(question, fitting[:SAMPLE_SIZE])
        reasons = _reasons(action, (states.get(job_id) for job_id in ids))
        return Preview(action, len(fitting), True, sample, skipped_for(reasons))

    async def apply(
        self,
        action: Action,
        filter: JobFilter,  # noqa: A002
        *,
        expected_max: int,
        changes: Changes,
    ) -> ActionResult:
        """Do it to the jobs of a filter, the newest first, batch by batch."""
        states = frozenset(APPLIES_TO[action]).intersection(states_of(filter.status))
        done, missed, below_id = 0, 0, ID_MAX
        while below_id > 0:
            # One more than may be done tells whether any are left.
            keys, floor = await self._next(
                filter, states, below_id, wanted=min(BATCH_MAX, expected_max - done + 1)
            )
            ids = [key.id for key in keys[: expected_max - done]]
            done_now = await self._deeds.do(action, ids, states, changes) if ids else 0
            done, missed, below_id = done + done_now, missed + len(ids) - done_now, floor
            if len(keys) > len(ids):
                return ActionResult(action, done, skipped_for(Counter({CHANGED: missed})), False)
        return ActionResult(action, done, skipped_for(Counter({CHANGED: missed})), True)

    async def _next(
        self,
        filter: JobFilter,  # noqa: A002
        states: frozenset[str],
        below_id: int,
        *,
        wanted: int,
    ) -> tuple[list[Key], int]:
        """Return the next jobs of a filter, and the id below which to go on; 0 at the end."""
        if not states:
            return [], 0
        give_up_s = time.monotonic() + LOOK_TIME_MAX_S
        async with self._queries.question() as question:
            looking = await search(question, filter, states, below_id=below_id)
            found = await looking.look_for(
                question, wanted, rows_max=LOOK_ROWS_MAX, give_up_s=give_up_s
            )
        if len(found) > wanted:
            return found[:wanted], found[wanted - 1].id
        return found, 0 if looking.is_over else looking.floor

    async def _states(self, ids: Sequence[int]) -> dict[int, str]:
        rows = await self._queries.rows("op_states", ids=list(ids))
        return {row["id"]: row["state"] for row in rows}


def skipped_for(reasons: Counter[str]) -> list[Skipped]:
    """Return the reasons with their counts, the most frequent first."""
    return [Skipped(count, reason) for reason, count in reasons.most_common() if count > 0]


def _reasons(action: Action, states: Iterable[str | None]) -> Counter[str]:
    """Count why an action does not apply to jobs in these states (None: not there)."""
    return Counter(_reason(action, state) for state in states if state not in APPLIES_TO[action])


def _reason(action: Action, state: str | None) -> str:
    if state is None:
        return GONE
    if state == "running":
        return _RUNS[action]
    return (_WAITS if state in APPLIES_TO["cancel"] else _ENDED)[action]


def _batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), BATCH_MAX):
        yield ids[start : start + BATCH_MAX]
