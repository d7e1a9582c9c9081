"""Defers that share statements, and statements that end at the same moment."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from forthwith.store.shared_defer import STATEMENTS_MAX, SharedDefer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Statements:
    """A pool and its statements: jobs get ids at once; giving the connection back takes until told."""

    def __init__(self) -> None:
        self.may_end = asyncio.Event()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[None]:
        yield
        await self.may_end.wait()

    async def insert(self, _: None, jobs: list[Any]) -> list[int]:
        return [1 for _ in jobs]


async def test_defers_at_the_moment_when_all_statements_end_are_sent() -> None:
    """Found by `forthwith verify`, seed 12: producers waited for ever after a crash of the server."""
    statements = Statements()
    shared: Any = SharedDefer(statements, statements)  # type: ignore[arg-type]
    for _ in range(STATEMENTS_MAX):
        assert await shared.defer(object()) == 1
    statements.may_end.set()
    async with asyncio.timeout(30):
        late = await asyncio.gather(*(shared.defer(object()) for _ in range(STATEMENTS_MAX)))
    assert late == [1] * STATEMENTS_MAX
