"""Asks again and again how things are, whether the database is there or not."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from forthwith.cli.failure import explain
from forthwith.cli.printable import without_passwords
from forthwith.cli.top.view import View

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith import App

HISTORY_S = 1800.0
HISTORY_EVERY_S = 15.0
"""Its points are minutes: it need not be asked for more often."""
HISTORIES_MAX = 16
CLOSE_WITHIN_S = 2.0


class Watcher:
    """Keeps a view up to date. What it cannot find out now it says, and tries again."""

    def __init__(self, app: App, database: str) -> None:
        from forthwith.operations import Desk

        self.view = View(database)
        self._app = app
        self._desk = Desk(app)
        self._stack = AsyncExitStack()
        self._is_open = self._is_checked = False
        self._histories_s = float("-inf")

    async def run(self, interval_s: float, tell: Callable[[], None]) -> None:
        """Look every so often, for good, and tell whenever it has. Raises what is not an outage."""
        while True:
            await self.look()
            tell()
            await asyncio.sleep(interval_s)

    async def look(self) -> None:
        """Bring the view up to date, with figures or with the reason why there are no new ones."""
        from forthwith.errors import DatabaseUnavailable, EmbeddedUnavailable, SchemaError

        try:
            await self._open()
            overview = await self._desk.overview()
            await self._ask_histories([queue.name for queue in overview.queues])
        except (DatabaseUnavailable, EmbeddedUnavailable, SchemaError) as error:
            self._note(error)
        else:
            self.view = replace(self.view, overview=overview, problem=None, problem_since=None)

    async def close(self) -> None:
        """Disconnect, if the database lets go in time."""
        try:
            async with asyncio.timeout(CLOSE_WITHIN_S):
                await self._desk.close()
                await self._stack.aclose()
        except TimeoutError:
            pass

    async def _open(self) -> None:
        if not self._is_open:
            await self._stack.enter_async_context(self._app.open_async())
            self._is_open = True
        if not self._is_checked:
            await self._app.schema_manager.check_async()
            self._is_checked = True

    async def _ask_histories(self, queues: list[str]) -> None:
        if time.monotonic() - self._histories_s < HISTORY_EVERY_S:
            return
        asked = queues[:HISTORIES_MAX]
        histories = await asyncio.gather(
            *(self._desk.history(HISTORY_S, queue=queue) for queue in asked)
        )
        ended = [[point.ended for point in history] for history in histories]
        self.view = replace(self.view, ended=dict(zip(asked, ended, strict=True)))
        self._histories_s = time.monotonic()

    def _note(self, error: Exception) -> None:
        told = without_passwords(explain(error).message.strip()).split("\n", 1)[0]
        since = self.view.problem_since or datetime.now(UTC)
        self.view = replace(self.view, problem=told, problem_since=since)
