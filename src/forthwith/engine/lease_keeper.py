"""Keeps the worker's lease, from a thread, an event loop and a connection of its own.

A task that blocks the event loop, or a long drain, must not cost a healthy worker its jobs.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from forthwith.engine.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith.engine.ports import LeaseStore

logger = logging.getLogger(__name__)

LEAVE_STEP_S = 1.0
QUIET_AFTER_INTERVALS = 5.0
"""After so many intervals without a job the worker renews less often: nobody waits for what it has."""
QUIET_INTERVAL_S = 10.0
QUIET_SHARE_OF_LEASE = 1 / 3


class LeaseKeeper:
    """Registers the worker and renews its lease until stopped."""

    def __init__(
        self,
        store: LeaseStore,
        *,
        renew_interval_s: float,
        on_lost: Callable[[int], None],
        lease_s: float = 30.0,
        is_idle: Callable[[], bool] = lambda: False,
        running: Callable[[], int] = lambda: 0,
    ) -> None:
        """Renew every `renew_interval_s` seconds, and less often while `is_idle`.

        Each time it is said how many jobs are `running`. Both are asked in the thread.
        """
        self._store = store
        self._renew_interval_s = renew_interval_s
        self._quiet_interval_s = max(
            renew_interval_s, min(QUIET_INTERVAL_S, QUIET_SHARE_OF_LEASE * lease_s)
        )
        self._interval_s = renew_interval_s
        self._is_idle = is_idle
        self._running = running
        self._busy_until_s = time.monotonic()
        self._quickened = asyncio.Event()
        self._lease_s = lease_s
        self._valid_until_s = 0.0
        self._on_lost = on_lost
        self._backoff = Backoff(limit_s=0.5)
        self._thread = threading.Thread(target=self._run, name="forthwith-lease", daemon=True)
        self._registered: Future[None] = Future()
        self._ended: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._stop_asked = False
        self._leaves_jobs = False
        self._patience_s = 0.0
        self.worker_id = 0
        """Under which claims are made. It changes when the worker was taken for dead."""

    def holds(self, worker_id: int) -> bool:
        """Whether the lease of that worker is ours and has not run out, as far as we can tell here.

        Right after a freeze, or while the database is away for long, it may have run out, though we
        have not been told yet: others may have the jobs that it covers.
        """
        return worker_id == self.worker_id and time.monotonic() < self._valid_until_s

    @property
    def silent_s(self) -> float:
        """For how long the database has not answered, beyond the interval at which it is asked."""
        asked_s = self._valid_until_s - self._lease_s
        return max(0.0, time.monotonic() - asked_s - self._interval_s)

    @property
    def reconnects(self) -> int:
        """How often its connection was made anew."""
        return self._store.reconnects

    def quicken(self) -> None:
        """Renew often from now on, and say so: jobs may be claimed, or others watched. From any thread."""
        if self._interval_s > self._renew_interval_s and self._loop is not None:
            with suppress(RuntimeError):  # its loop has ended, and so has the lease
                self._loop.call_soon_threadsafe(self._quickened.set)

    async def start(self) -> None:
        """Register, then keep the lease in the background. Raises what registering raises."""
        for future in (self._registered, self._ended):  # whoever waits may go, and they stay
            future.set_running_or_notify_cancel()
        self._thread.start()
        await asyncio.wrap_future(self._registered)

    async def stop(self, *, leaves_jobs: bool, timeout_s: float) -> None:
        """End the lease, and wait for that up to `timeout_s` seconds."""
        self._ask_to_stop(leaves_jobs, timeout_s)
        await asyncio.wait({asyncio.wrap_future(self._ended)}, timeout=timeout_s)

    def stop_blocking(self, *, leaves_jobs: bool, timeout_s: float) -> None:
        """Do the same from any other thread, for the event loop may be blocked."""
        self._ask_to_stop(leaves_jobs, timeout_s)
        with suppress(TimeoutError):
            self._ended.result(timeout_s)

    def _ask_to_stop(self, leaves_jobs: bool, patience_s: float) -> None:
        self._leaves_jobs, self._patience_s = leaves_jobs, patience_s
        self._stop_asked = True
        if self._loop is not None:
            with suppress(RuntimeError):  # its loop has ended, and so has the lease
                self._loop.call_soon_threadsafe(self._stop.set)

    # -- in the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        finally:
            self._ended.set_result(None)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stop_asked:
            self._stop.set()
        keeping = asyncio.create_task(self._keep(), name="lease")
        stopping = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait({keeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        # It may wait for an answer, and shall not take the time that there is to leave.
        await asyncio.wait({keeping}, timeout=self._share_of_patience_s())
        await _cancelled(keeping, stopping)
        if self.worker_id:
            await self._leave()
        await self._store.close()

    async def _keep(self) -> None:
        started_s = time.monotonic()
        try:
            self.worker_id = await self._store.register()
        except BaseException as error:
            self._registered.set_exception(error)
            return
        self._valid_until_s = started_s + self._lease_s
        self._busy_until_s = started_s
        self._registered.set_result(None)
        wait_s = self._renew_interval_s
        while not await self._stopped_within(wait_s):
            started_s = self._now_s()
            try:
                await self._renew()
            except Exception as error:
                wait_s = self._backoff.next_s()
                logger.log(
                    self._backoff.log_level(error),
                    "Could not renew the lease, trying again in %.2f s: %s",
                    wait_s,
                    error,
                )
            else:
                self._valid_until_s = started_s + self._lease_s
                wait_s = self._until_next(started_s)

    async def _stopped_within(self, wait_s: float) -> bool:
        """Wait until the next renewal is due. The loss of the session makes it due at once."""
        waits = [
            asyncio.create_task(self._stop.wait()),
            asyncio.create_task(self._quickened.wait()),
            asyncio.create_task(self._store.disturbed()),
        ]
        await asyncio.wait(waits, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
        await _cancelled(*waits)
        return self._stop.is_set()

    def _until_next(self, started_s: float) -> float:
        wait_s = max(0.0, self._interval_s - (self._now_s() - started_s))
        if self._store.holds_lock:
            self._backoff.reset()
            return wait_s
        return min(wait_s, self._backoff.next_s())  # until the server has ended the old session

    def _next_interval_s(self) -> float:
        """Decide in how many seconds to renew again; this renewal says so to whoever watches us."""
        now_s = time.monotonic()
        # First this: who wakes up while we decide either is seen to be awake, or sees that it matters.
        self._interval_s = self._quiet_interval_s
        if self._quickened.is_set() or not self._is_idle():
            self._busy_until_s = now_s
        self._quickened.clear()
        is_quiet = now_s - self._busy_until_s >= QUIET_AFTER_INTERVALS * self._renew_interval_s
        self._interval_s = self._quiet_interval_s if is_quiet else self._renew_interval_s
        return self._interval_s

    async def _renew(self) -> None:
        interval_s = self._next_interval_s()
        if await self._store.renew(self.worker_id, interval_s, self._running()):
            return
        lost = self.worker_id
        self.worker_id = await self._store.register()
        self._interval_s = self._renew_interval_s
        self._busy_until_s = time.monotonic()
        logger.error(
            "LeaseLost: worker %d was taken for dead and its jobs were rescued; going on as worker %d",
            lost,
            self.worker_id,
        )
        self._on_lost(lost)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(self._share_of_patience_s()):
                await self._store.unregister(self.worker_id, leaves_jobs=self._leaves_jobs)
        except Exception as error:
            logger.warning("Could not unregister worker %d: %r", self.worker_id, error)

    def _share_of_patience_s(self) -> float:
        return min(self._patience_s * 0.4, LEAVE_STEP_S)

    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
