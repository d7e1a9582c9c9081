"""Takes over the jobs of dead workers, without anybody's help."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from forthwith.engine.meter import Meter
from forthwith.errors import ConnectorException

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from forthwith.engine.ports import JobStore, Rescued
    from forthwith.engine.watch import Gone, Watch

logger = logging.getLogger(__name__)

RESCUE_BATCH_SIZE = 1000
LOGGED_MAX = 20


class Rescuer:
    """Looks at the workers about every `interval_s` seconds, and sooner where one is silent.

    Where all others are idle it looks less often, if it is `notified` when one of them wakes up.
    """

    def __init__(
        self,
        store: JobStore,
        watch: Watch,
        *,
        worker_id: Callable[[], int],
        interval_s: float,
        notified: bool,
        on_doubt: Callable[[], None],
        on_rescued: Callable[[], None],
        meter: Meter | None = None,
    ) -> None:
        self._meter = meter or Meter()
        self._store = store
        self._watch = watch
        self._worker_id = worker_id
        self._interval_s = interval_s
        self._notified = notified
        self._on_doubt = on_doubt
        self._on_rescued = on_rescued
        self._hint = asyncio.Event()

    def hint(self) -> None:
        """Say that a worker may be there that was not, or was idle: look soon."""
        self._hint.set()

    async def run(self) -> None:
        """Sweep until cancelled."""
        while True:
            await self._pause()
            try:
                await self._sweep()
            except ConnectorException as error:
                self._watch.interrupt()
                logger.debug("Could not sweep for dead workers: %s", error)

    async def _pause(self) -> None:
        """Wait until the next look is due; not as long as others do, so that we do not look all at once."""
        share = random.uniform(0.75, 1.25)
        soon_s = self._interval_s * share
        wait_s = max(soon_s, self._watch.usual_interval_s * share) if self._notified else soon_s
        sooner_s = self._watch.next_look_in_s(time.monotonic())
        if sooner_s is not None:
            wait_s = min(wait_s, sooner_s)
        await asyncio.sleep(min(soon_s, wait_s))  # so long in any case: anybody can send hints
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s - soon_s):
                await self._hint.wait()
        self._hint.clear()

    async def _sweep(self) -> None:
        doubted_ids = self._watch.doubted_ids(time.monotonic())
        look = await self._store.look_at_workers(doubted_ids)
        gone = self._watch.observe(look, self._worker_id())
        if self._watch.has_doubts:
            self._on_doubt()
        if gone:
            await self._rescue(gone)

    async def _rescue(self, gone: Sequence[Gone]) -> None:
        """Take over in batches: no statement is long, and none returns more than the network takes."""
        while rescued := await self._store.rescue(gone, RESCUE_BATCH_SIZE):
            self._meter.took_over(rescued)
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
