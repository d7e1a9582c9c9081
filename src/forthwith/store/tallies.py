"""The tallies: what all workers have counted, by the minute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forthwith.store.arrays import array, written
from forthwith.store.statements import statements

if TYPE_CHECKING:
    from collections.abc import Mapping

    from forthwith.database.line import Line
    from forthwith.engine.meter import Counts


class Tallies:
    """Fits the engine's `TallyStore`, on a connection that is there for other things, too."""

    def __init__(self, line: Line, *, schema: str) -> None:
        self._line = line
        self._statement = statements(schema)["add_tallies"]

    async def add_tallies(self, counts: Counts) -> None:
        """Add these counts to those of the present minute."""
        async with self._line.use() as connection:
            await connection.execute(self._statement, written(_parameters(counts)))


def _parameters(counts: Counts) -> Mapping[str, list[Any]]:
    keys, ended = list(counts.by_key), list(counts.by_key.values())
    return {
        "queues": [key.queue for key in keys],
        "tasks": [key.task for key in keys],
        "outcomes": [key.outcome for key in keys],
        "attempts": [each.attempts for each in ended],
        "runs_s": [each.run_s.sum for each in ended],
        "run_counts": [array(each.run_s.counts) for each in ended],
        "waits_s": [each.wait_sum_s for each in ended],
        "wait_counts": [array(each.wait_s.counts) for each in ended],
    }
