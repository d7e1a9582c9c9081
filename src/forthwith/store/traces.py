"""Whose traces jobs belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.job import Trace
from forthwith.store.arrays import written
from forthwith.store.statements import statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forthwith.database.line import Line


class Traces:
    """Reads what deferrers have taken down."""

    def __init__(self, line: Line, *, schema: str) -> None:
        self._line = line
        self._statement = statements(schema)["traces"]

    async def read(self, ids: Sequence[int]) -> dict[int, Trace]:
        """Return the traces of these jobs, of those that have one."""
        async with self._line.use() as connection:
            cursor = await connection.execute(
                self._statement, written({"ids": list(ids)}), prepare=True
            )
            return {job_id: Trace(*trace) for job_id, *trace in await cursor.fetchall()}
