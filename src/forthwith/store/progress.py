"""Writes how far jobs say that they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forthwith.store.statements import DEFAULT_SCHEMA, statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forthwith.database.line import Line
    from forthwith.engine.progress import Said


class Progress:
    """Fits the engine's `ProgressStore`."""

    def __init__(self, line: Line, *, schema: str = DEFAULT_SCHEMA) -> None:
        self._line = line
        self._statements = statements(schema)

    async def write_progress(self, batch: Sequence[Said]) -> None:
        await self._run(
            "write_progress",
            ids=[said.claim[0] for said in batch],
            lease_tokens=[said.claim[1] for said in batch],
            dones=[said.done for said in batch],
            totals=[said.total for said in batch],
            notes=[said.note for said in batch],
        )

    async def forget_progress(self, ids: Sequence[int], worker_id: int) -> None:
        await self._run("forget_progress", ids=list(ids), worker_id=worker_id)

    async def _run(self, name: str, /, **parameters: Any) -> None:
        async with self._line.use() as connection:
            await connection.execute(self._statements[name], parameters)
