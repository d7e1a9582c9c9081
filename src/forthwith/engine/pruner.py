"""Drops old history, by the partition, makes the next days' partitions, and forgets what was seen."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from forthwith.errors import ConnectorException

if TYPE_CHECKING:
    from forthwith.engine.ports import JobStore

logger = logging.getLogger(__name__)

INTERVAL_S = 3600.0
FIRST_S = 10.0
BATCH_SIZE = 5000
REST_S = 0.1


class Pruner:
    """Prunes about once an hour."""

    def __init__(self, store: JobStore) -> None:
        self._store = store

    async def run(self) -> None:
        """Prune until cancelled."""
        wait_s = FIRST_S
        while True:
            await asyncio.sleep(wait_s * random.uniform(0.5, 1.5))
            try:
                await self._prune()
            except ConnectorException as error:
                logger.warning("Could not prune history: %s", error)
            wait_s = INTERVAL_S

    async def _prune(self) -> None:
        for partition in await self._store.prune():
            logger.info("Dropped the history partition %s", partition)
        is_more = True
        while is_more:
            is_more = await self._store.prune_observation(BATCH_SIZE) >= BATCH_SIZE
            await asyncio.sleep(REST_S)
