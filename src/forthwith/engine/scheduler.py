"""Defers periodic tasks when their time comes."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from forthwith.engine.backoff import Backoff
from forthwith.errors import ConnectorException

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

logger = logging.getLogger(__name__)


class Scheduler:
    """Runs the periodic deferrer, and starts it anew when the database fails it.

    A new deferrer looks back for the last tick of each task, so that one that fell into an outage
    is deferred after it; the database keeps a tick from being deferred twice.
    """

    def __init__(self, defer_periodically: Callable[[], Awaitable[None]]) -> None:
        self._defer_periodically = defer_periodically
        self._backoff = Backoff(limit_s=5.0)

    async def run(self) -> None:
        """Defer until cancelled, or until it turns out that there are no periodic tasks."""
        while True:
            try:
                await self._defer_periodically()
            except ConnectorException as error:
                wait_s = self._backoff.next_s()
                logger.log(
                    self._backoff.log_level(error),
                    "Could not defer periodic tasks, trying again: %s",
                    error,
                )
                await asyncio.sleep(wait_s)
            else:
                return
