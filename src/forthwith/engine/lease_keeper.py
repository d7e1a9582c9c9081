"""Keeps the worker's lease, from a thread and a connection of its own.

A task that blocks the event loop, or a long drain, must not cost a healthy worker its jobs.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from forthwith.engine.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith.engine.ports import LeaseStore

logger = logging.getLogger(__name__)


class LeaseKeeper:
    """Registers the worker and renews its lease until stopped."""

    def __init__(
        self,
        store: LeaseStore,
        *,
        renew_interval_s: float,
        on_lost: Callable[[int], None],
        on_renewed: Callable[[], None],
    ) -> None:
        self._store = store
        self._renew_interval_s = renew_interval_s
        self._on_lost = on_lost
        self._on_renewed = on_renewed
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._leaves_jobs = False
        self.worker_id = 0
        """Under which claims are made. It changes when the worker was taken for dead."""

    def start(self) -> None:
        """Register, then keep the lease in the background. Blocks for the first; raises what it raises."""
        self._stop.clear()
        self.worker_id = self._store.register()
        self._thread = threading.Thread(target=self._keep, name="forthwith-lease", daemon=True)
        self._thread.start()

    def stop(self, *, leaves_jobs: bool, timeout_s: float) -> None:
        """End the lease, and wait for that up to `timeout_s` seconds."""
        self._leaves_jobs = leaves_jobs
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _keep(self) -> None:
        backoff = Backoff(limit_s=0.5)
        wait_s = self._renew_interval_s
        while not self._stop.wait(wait_s):
            started_s = time.monotonic()
            try:
                self._renew()
            except Exception as error:
                wait_s = backoff.next_s()
                logger.warning(
                    "Could not renew the lease, trying again in %.2f s: %s", wait_s, error
                )
            else:
                backoff.reset()
                wait_s = max(0.0, self._renew_interval_s - (time.monotonic() - started_s))
            self._on_renewed()
        self._leave()

    def _renew(self) -> None:
        if self._store.renew(self.worker_id):
            return
        lost = self.worker_id
        self.worker_id = self._store.register()
        logger.error(
            "LeaseLost: worker %d was taken for dead and its jobs were rescued; going on as worker %d",
            lost,
            self.worker_id,
        )
        self._on_lost(lost)

    def _leave(self) -> None:
        try:
            self._store.unregister(self.worker_id, leaves_jobs=self._leaves_jobs)
        except Exception as error:
            logger.warning("Could not unregister worker %d: %s", self.worker_id, error)
        finally:
            self._store.close()
