"""Aborts running jobs on request."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from forthwith.errors import ConnectorException

if TYPE_CHECKING:
    from forthwith.engine.ports import JobStore
    from forthwith.engine.runner import Runners

logger = logging.getLogger(__name__)

PAUSE_S = 0.1  # between two looks, however many notifications come: anybody can send them


class Aborter:
    """Asks the database which of the worker's jobs to abort, when notified and every `interval_s` seconds."""

    def __init__(self, store: JobStore, runners: Runners, *, interval_s: float) -> None:
        self._store = store
        self._runners = runners
        self._interval_s = interval_s
        self._requested = asyncio.Event()

    def hint(self) -> None:
        """Say that an abort was requested somewhere."""
        self._requested.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._requested.wait()
            except TimeoutError:
                pass
            self._requested.clear()
            await self._look()
            await asyncio.sleep(PAUSE_S)

    async def _look(self) -> None:
        claimed = self._runners.known_ids()
        if not claimed:
            return
        try:
            for job_id in await self._store.abort_requested(claimed):
                self._runners.abort(job_id)
        except ConnectorException as error:
            logger.debug("Could not look for abort requests: %s", error)
