"""Takes over the jobs of dead workers, without anybody's help."""

from __future__ import annotations

import asyncio
import logging
import random
from typing import TYPE_CHECKING

from forthwith.errors import ConnectorException

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith.engine.ports import JobStore

logger = logging.getLogger(__name__)


class Rescuer:
    """Sweeps for dead workers about every `interval_s` seconds."""

    def __init__(
        self, store: JobStore, *, interval_s: float, on_rescued: Callable[[], None]
    ) -> None:
        self._store = store
        self._interval_s = interval_s
        self._on_rescued = on_rescued

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s * random.uniform(0.5, 1.5))
            try:
                await self._sweep()
            except ConnectorException as error:
                logger.debug("Could not sweep for dead workers: %s", error)

    async def _sweep(self) -> None:
        rescued = await self._store.rescue()
        for job in rescued:
            logger.warning(
                "Job %d (%s) of dead worker %d: %s", job.job_id, job.task, job.worker_id, job.fate
            )
        if rescued:
            self._on_rescued()
