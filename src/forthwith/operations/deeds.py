"""Does an action to a batch of jobs, in one transaction, by the statements that do it to one."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, assert_never

from forthwith.operations.places import FINAL, UNSUCCESSFUL
from forthwith.store.operator_pool import InTheWay
from forthwith.store.statements import channel_of, done_channel_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from forthwith.operations.changes import Changes
    from forthwith.operations.preview import Action
    from forthwith.store.operator_queries import OperatorQueries, Row, Transaction

BATCH_MAX = 1000
TRIES = 4
WAITING = ("ready", "suspect", "blocked", "scheduled")

APPLIES_TO: dict[Action, tuple[str, ...]] = {
    "retry": UNSUCCESSFUL,
    "cancel": WAITING,
    "abort": ("running",),
    "reschedule": WAITING,
    "delete": (*WAITING, *FINAL),
}
"""The states of jobs to which an action applies. A running one is touched by abort alone."""


class Deeds:
    """Actions on batches of up to 1,000 jobs. What a job is when its row is locked decides."""

    def __init__(self, queries: OperatorQueries) -> None:
        self._queries = queries

    async def do(
        self, action: Action, ids: Sequence[int], states: Iterable[str], changes: Changes
    ) -> int:
        """Do it to those of these jobs that are in one of these states; return to how many."""
        assert len(ids) <= BATCH_MAX
        wanted = sorted(set(states).intersection(APPLIES_TO[action]))
        for _ in range(TRIES - 1):
            with suppress(InTheWay):
                return await self._do(action, ids, wanted, changes)
        return await self._do(action, ids, wanted, changes)

    async def _do(
        self, action: Action, ids: Sequence[int], wanted: Sequence[str], changes: Changes
    ) -> int:
        async with self._queries.deed() as deed:
            await deed.rows("op_take_turn")
            match action:
                case "retry":
                    return await _retry(deed, ids, wanted, changes)
                case "cancel":
                    return await self._cancel(deed, ids, wanted)
                case "abort":
                    return await self._cancel(deed, ids, wanted, abort=True)
                case "reschedule":
                    return await _reschedule(deed, ids, wanted, changes.at)
                case "delete":
                    return await self._delete(deed, ids, wanted)
                case _:
                    assert_never(action)

    async def _cancel(
        self,
        deed: Transaction,
        ids: Sequence[int],
        states: Sequence[str],
        *,
        abort: bool = False,
        delete_job: bool = False,
    ) -> int:
        picked = await deed.rows("op_pick_live", ids=ids, states=states)
        changes: Row = {
            "abort": abort,
            "delete_job": delete_job,
            "channel": channel_of(self._queries.schema),
            "done_channel": done_channel_of(self._queries.schema),
        }
        ended = await deed.each("cancel", [{"id": row["id"], **changes} for row in picked])
        await _advance(deed, [lock for _, lock, _ in ended])
        return len(ended)

    async def _delete(self, deed: Transaction, ids: Sequence[int], states: Sequence[str]) -> int:
        finished = await deed.rows("op_pick_finished", ids=ids, states=states)
        gone = await deed.rows("op_delete_finished", ids=[row["id"] for row in finished])
        live = await deed.rows("op_pick_live", ids=ids, states=states)
        cancelled = await self._cancel(deed, [row["id"] for row in live], states, delete_job=True)
        await deed.rows("op_forget", ids=[row["id"] for row in (*gone, *live)])
        return len(gone) + cancelled


async def _retry(
    deed: Transaction, ids: Sequence[int], states: Sequence[str], changes: Changes
) -> int:
    picked = await deed.rows("op_pick_finished", ids=ids, states=states)
    now = (await deed.row("op_now"))["now"]
    changed: Row = {
        "retry_at": changes.at or now,
        "priority": changes.priority,
        "queue": changes.queue,
        "lock": changes.lock,
    }
    back = await deed.each("retry_finished", [{"id": row["id"], **changed} for row in picked])
    await _wake(deed, [changes.queue or row["queue"] for row in picked])
    return len(back)


async def _reschedule(
    deed: Transaction, ids: Sequence[int], states: Sequence[str], at: datetime | None
) -> int:
    picked = await deed.rows("op_pick_live", ids=ids, states=states)
    changed = await deed.rows("op_reschedule", ids=[row["id"] for row in picked], at=at)
    await _advance(deed, [row["lock"] for row in changed])
    await _wake(deed, [row["queue"] for row in changed])
    return len(changed)


async def _advance(deed: Transaction, locks: Iterable[str | None]) -> None:
    """Let the lines go on whose head is gone: in a statement of its own, which sees who came meanwhile."""
    left = sorted({lock for lock in locks if lock is not None})
    if left:
        await deed.rows("advance_lines", locks=left)


async def _wake(deed: Transaction, queues: Iterable[str | None]) -> None:
    named = sorted({queue for queue in queues if queue is not None})
    if named:
        await deed.rows("wake", queues=named)
