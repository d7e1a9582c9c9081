"""Writes how far jobs say that they are: what a task says it says to us, and never waits."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from forthwith.engine.backoff import Backoff
from forthwith.errors import ConnectorException

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from forthwith.engine.ports import Claim, ProgressStore
    from forthwith.job import ClaimedJob

logger = logging.getLogger(__name__)

INTERVAL_S = 1.0
"""The least time between two writes for one job."""
CLAIMS_MAX = 5000
"""How many go in one statement."""


class Said(NamedTuple):
    """How far a job says that it is."""

    claim: Claim
    done: float
    total: float | None
    note: str | None


class Progress:
    """Takes what jobs say, from any thread, and writes it in batches.

    What a job says first is written at once, then no more than once in `INTERVAL_S`, and the last word
    counts. When a job runs here no more, what it said is forgotten.
    """

    def __init__(
        self,
        store: ProgressStore,
        *,
        running: Callable[[], Collection[Claim]],
        worker_id: Callable[[], int],
    ) -> None:
        """`running` names the claims of the jobs that run here now."""
        self._store = store
        self._running = running
        self._worker_id = worker_id
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._said: dict[Claim, Said] = {}
        self._written_s: dict[Claim, float] = {}
        self._more = asyncio.Event()
        self._backoff = Backoff()

    def say(self, job: ClaimedJob, done: float, total: float | None, note: str | None) -> None:
        """Take in how far a job is. From any thread; never waits."""
        claim = (job.id, job.lease_token)
        with self._lock:
            is_new = claim not in self._said
            self._said[claim] = Said(claim, done, total, note)
        if is_new:
            with suppress(RuntimeError):  # the loop has ended, and with it whoever wants to know
                self._loop.call_soon_threadsafe(self._more.set)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._due()
            try:
                await self._forget()
                await self._write()
            except ConnectorException as error:
                wait_s = self._backoff.next_s()
                logger.debug("Could not write progress, trying again in %.2f s: %s", wait_s, error)
                await asyncio.sleep(wait_s)
            else:
                self._backoff.reset()

    async def clear(self) -> None:
        """Forget what all jobs here have said: the worker leaves. Raises `DatabaseUnavailable`."""
        with self._lock:
            self._said.clear()
        await self._forget_all(list(self._written_s))

    async def _due(self) -> None:
        """Wait until there may be something to write or to forget."""
        try:
            async with asyncio.timeout(self._next_s()):
                await self._more.wait()
        except TimeoutError:
            pass
        self._more.clear()

    def _next_s(self) -> float | None:
        """Return in how many seconds there may be something to do; None: when somebody says something."""
        now_s = time.monotonic()
        with self._lock:
            waits_s = [self._written_s.get(claim, 0.0) + INTERVAL_S - now_s for claim in self._said]
        if waits_s:
            return max(0.0, min(waits_s))
        return INTERVAL_S if self._written_s else None

    async def _write(self) -> None:
        """Write the last word of each job that said something and was not written a moment ago."""
        batch = self._take(set(self._running()))
        if not batch:
            return
        try:
            await self._store.write_progress(batch)
        except BaseException:
            self._put_back(batch)
            raise
        now_s = time.monotonic()
        self._written_s.update((said.claim, now_s) for said in batch)

    def _take(self, running: set[Claim]) -> list[Said]:
        before_s = time.monotonic() - INTERVAL_S
        with self._lock:
            for claim in [claim for claim in self._said if claim not in running]:
                del self._said[claim]
            due = [
                claim for claim in self._said if self._written_s.get(claim, before_s) <= before_s
            ][:CLAIMS_MAX]
            return [self._said.pop(claim) for claim in due]

    def _put_back(self, batch: list[Said]) -> None:
        with self._lock:
            for said in batch:
                self._said.setdefault(said.claim, said)

    async def _forget(self) -> None:
        running = set(self._running())
        await self._forget_all([claim for claim in self._written_s if claim not in running])

    async def _forget_all(self, claims: list[Claim]) -> None:
        if not claims:
            return
        ids = sorted({job_id for job_id, _ in claims})
        await self._store.forget_progress(ids, self._worker_id())
        for claim in claims:
            self._written_s.pop(claim, None)
