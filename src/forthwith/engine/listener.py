"""Hears notifications: a hint to look, never the guarantee."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from forthwith.engine.backoff import Backoff
from forthwith.errors import ConnectorException
from forthwith.options import NAME_CHARACTERS_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from forthwith.engine.ports import JobStore

logger = logging.getLogger(__name__)

ABORT_PAYLOAD = "abort"
WORKERS_PAYLOAD = "workers"
QUEUE_PREFIX = "queue:"
PAUSE_PREFIX = "pause:"


class Listener:
    """Listens on a connection of its own, and listens again when that breaks.

    A payload is untrusted: all it can do is make the worker look sooner.
    """

    def __init__(
        self,
        store: JobStore,
        *,
        queues: Collection[str] | None,
        on_job: Callable[[str | None], None],
        on_abort: Callable[[], None],
        on_worker: Callable[[], None],
        on_pause: Callable[[], None],
    ) -> None:
        self._store = store
        self._queues = queues
        self._on_job = on_job
        self._on_abort = on_abort
        self._on_worker = on_worker
        self._on_pause = on_pause
        self._backoff = Backoff()

    async def run(self) -> None:
        """Listen until cancelled."""
        while True:
            try:
                await self._store.listen(self._hear, self._listening)
            except ConnectorException as error:
                wait_s = self._backoff.next_s()
                logger.log(
                    self._backoff.log_level(error),
                    "Stopped listening, trying again in %.2f s: %s",
                    wait_s,
                    error,
                )
                await asyncio.sleep(wait_s)

    def _listening(self) -> None:
        self._backoff.reset()
        self._on_job(None)  # what came while nobody listened
        self._on_abort()
        self._on_worker()
        self._on_pause()

    def _hear(self, payload: str) -> None:
        if payload == ABORT_PAYLOAD:
            self._on_abort()
            return
        if payload == WORKERS_PAYLOAD:
            self._on_worker()
            return
        prefix, colon, queue = payload.partition(":")
        if len(queue) > NAME_CHARACTERS_MAX:
            return  # nobody of ours said that
        if self._queues is None or queue in self._queues:
            if prefix + colon == QUEUE_PREFIX:
                self._on_job(queue)
            elif prefix + colon == PAUSE_PREFIX:
                self._on_pause()
