"""Gives back what was claimed of a queue that was paused meanwhile and has not started."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

from forthwith.engine.backoff import Backoff
from forthwith.errors import ConnectorException
from forthwith.outcome import Released

if TYPE_CHECKING:
    from collections.abc import Iterable

    from forthwith.engine.buffer import Buffer
    from forthwith.engine.completer import Completer
    from forthwith.engine.ports import JobStore
    from forthwith.engine.runner import Runners
    from forthwith.job import ClaimedJob

logger = logging.getLogger(__name__)

REST_S = 0.1  # between two looks, however many notifications come: anybody can send them


class Sorted(NamedTuple):
    """Claimed jobs: those that may start, and those of paused queues."""

    free: list[ClaimedJob]
    paused: list[ClaimedJob]


class Pauser:
    """Asks the database which queues are paused, when notified and every `interval_s` seconds.

    A claim takes nothing from a paused queue, so all that is left to do is to give back what was
    claimed before the pause. A claim may still be on its way then: `sort` tells its jobs apart.
    """

    def __init__(
        self,
        store: JobStore,
        *,
        buffer: Buffer,
        runners: Runners,
        completer: Completer,
        interval_s: float,
    ) -> None:
        self._store = store
        self._buffer = buffer
        self._runners = runners
        self._completer = completer
        self._interval_s = interval_s
        self._requested = asyncio.Event()
        self._backoff = Backoff()
        self._paused: frozenset[str] = frozenset()
        self._looked_s = 0.0

    def hint(self) -> None:
        """Say that a queue was paused somewhere."""
        self._requested.set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            is_told = True
            try:
                async with asyncio.timeout(self._interval_s):
                    await self._requested.wait()
            except TimeoutError:
                is_told = False
            if is_told or len(self._buffer):
                await self._look()
            await asyncio.sleep(REST_S)

    def sort(self, jobs: list[ClaimedJob], asked_s: float) -> Sorted:
        """Tell apart what a claim returned that was sent at `asked_s`, by the monotonic clock.

        One that was sent after our last look saw itself what was paused, or perhaps is no more.
        """
        if not self._paused or asked_s > self._looked_s:
            return Sorted(jobs, [])
        return _sorted(jobs, self._paused)

    async def _look(self) -> None:
        self._requested.clear()
        try:
            self._paused = frozenset(await self._store.paused_queues())
        except ConnectorException as error:
            logger.debug("Could not look for paused queues, trying again: %s", error)
            self._requested.set()
            await asyncio.sleep(self._backoff.next_s())
            return
        self._backoff.reset()
        self._looked_s = time.monotonic()
        if self._paused:
            self._give_back()

    def _give_back(self) -> None:
        found = _sorted(self._buffer.drain(), self._paused)
        self._buffer.put(found.free)
        if found.paused:
            self._runners.forget(found.paused)
            self._completer.add_all([Released(job) for job in found.paused])
            logger.info("Gave back %d jobs of paused queues", len(found.paused))


def _sorted(jobs: Iterable[ClaimedJob], paused: frozenset[str]) -> Sorted:
    found = Sorted([], [])
    for job in jobs:
        (found.paused if job.queue in paused else found.free).append(job)
    return found
