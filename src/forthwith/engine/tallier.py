"""Adds what the worker has counted to the tallies in the database, which all workers share."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from forthwith.engine.meter import Counts
from forthwith.errors import ConnectorException

if TYPE_CHECKING:
    from forthwith.engine.meter import Meter
    from forthwith.engine.ports import TallyStore

logger = logging.getLogger(__name__)

INTERVAL_S = 10.0


class Tallier:
    """Adds every `INTERVAL_S` seconds, if there is something to add.

    What could not be added is kept for the next time. It is statistics: where an answer is lost, the
    same counts may be added twice, and what a killed worker has not added yet is missing.
    """

    def __init__(self, store: TallyStore, meter: Meter) -> None:
        self._store = store
        self._meter = meter
        self._left = Counts()
        self._adding = asyncio.Lock()

    async def run(self) -> None:
        """Add until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_S * random.uniform(0.9, 1.1))
            await self.add()

    async def add(self) -> None:
        """Add what was counted since the last time, unless the database is away."""
        async with self._adding:  # a last time, too, while the worker leaves
            self._left.add(self._meter.take())
            if not self._left.by_key:
                return
            try:
                await self._store.add_tallies(self._left)
            except ConnectorException as error:
                logger.debug("Could not add to the tallies, keeping what was counted: %s", error)
            else:
                self._left = Counts()
