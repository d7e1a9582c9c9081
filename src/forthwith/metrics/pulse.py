"""Whether an event loop still turns, as another thread can see."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class Pulse:
    """Asks a loop for a sign of life, without waiting for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answered_s = time.monotonic()
        self._is_asked = False

    @property
    def silent_s(self) -> float:
        """How long ago the loop last gave a sign, in seconds."""
        return time.monotonic() - self._answered_s

    def ask(self) -> None:
        """Ask, unless the last question is still open. From another thread."""
        if self._is_asked:
            return
        self._is_asked = True
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._answered_s = time.monotonic()
        self._is_asked = False
