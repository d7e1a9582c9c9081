"""Lets the event loop pass between jobs: to look at the database's answers, the time, and other jobs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forthwith.engine.buffer import Buffer

SLICE_S = 0.002


class Turns:
    """Whose turn it is to run jobs that wait for nothing: in a row, by one runner, a slice at a time.

    At the end of a slice that runner lets the loop pass once, and goes on. Others that come to the end of it
    rest. Were all of them to go on, each for a slice, the loop would not pass before the buffer is empty: the
    answer to a claim would lie there until the jobs of the last one are done, and the server have nothing
    to do while they run. They are called again as soon as no runner has the turn, because its job waits.
    """

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._has_passed = True
        self.slice_end_s = 0.0
        """When to call `let_loop_pass`, on the monotonic clock."""

    async def let_loop_pass(self, now_s: float) -> None:
        """Begin another slice: at once if the loop has passed since this one began."""
        if not self._has_passed:
            if self._buffer.is_served:
                await self._buffer.wait()
                return
            self._buffer.is_served = True
            try:
                await asyncio.sleep(0)
            finally:
                self._buffer.is_served = False
            now_s = time.monotonic()
        self._has_passed = False
        self.slice_end_s = now_s + SLICE_S
        asyncio.get_running_loop().call_soon(self._note)

    def _note(self) -> None:
        self._has_passed = True
