"""Takes over the jobs of dead workers, without anybody's help."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from typing import TYPE_CHECKING

from forthwith.errors import ConnectorException

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forthwith.engine.ports import JobStore, Rescued
    from forthwith.engine.watch import Gone, Watch

logger = logging.getLogger(__name__)

RESCUE_BATCH_SIZE = 1000
LOGGED_MAX = 20


class Rescuer:
    """Looks at the workers about every `interval_s` seconds, and sooner where one is silent."""

    def __init__(
        self,
        store: JobStore,
        watch: Watch,
        *,
        worker_id: Callable[[], int],
        interval_s: float,
        on_rescued: Callable[[], None],
    ) -> None:
        self._store = store
        self._watch = watch
        self._worker_id = worker_id
        self._interval_s = interval_s
        self._on_rescued = on_rescued

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await asyncio.sleep(self._pause_s())
            try:
                await self._sweep()
            except ConnectorException as error:
                self._watch.interrupt()
                logger.debug("Could not sweep for dead workers: %s", error)

    def _pause_s(self) -> float:
        """Return how long to wait; not the same for all, so that they do not sweep all at once."""
        usual_s = self._interval_s * random.uniform(0.75, 1.25)
        sooner_s = self._watch.next_look_in_s(time.monotonic())
        return usual_s if sooner_s is None else min(usual_s, sooner_s)

    async def _sweep(self) -> None:
        doubted_ids = self._watch.doubted_ids(time.monotonic())
        look = await self._store.look_at_workers(doubted_ids)
        gone = self._watch.observe(look, self._worker_id())
        if gone:
            await self._rescue(gone)

    async def _rescue(self, gone: Sequence[Gone]) -> None:
        """Take over in batches: no statement is long, and none returns more than the network takes."""
        while rescued := await self._store.rescue(gone, RESCUE_BATCH_SIZE):
            _report(rescued)
            self._on_rescued()
            if len(rescued) < RESCUE_BATCH_SIZE:
                return


def _report(rescued: Sequence[Rescued]) -> None:
    for job in rescued[:LOGGED_MAX]:
        logger.warning(
            "Job %d (%.200r) of dead worker %d: %s", job.job_id, job.task, job.worker_id, job.fate
        )
    if len(rescued) > LOGGED_MAX:
        logger.warning("And %d more jobs of dead workers", len(rescued) - LOGGED_MAX)
