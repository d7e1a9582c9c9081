"""A bridge from synchronous code, and from any event loop, to one loop in the background."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from concurrent.futures import Future

R = TypeVar("R")


class Bridge:
    """An event loop in a daemon thread, started when first needed.

    So that all that talks to the database is written once, as coroutines. A fork leaves the thread
    behind; the child's first use starts its own.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._lock = threading.Lock()

    @property
    def is_running(self) -> bool:
        """Whether the loop runs, in this process."""
        return self._loop is not None and self._pid == os.getpid()

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine in the background loop and wait for its result, blocking."""
        future = self.submit(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def call(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine in the background loop and await its result in this one."""
        return await asyncio.wrap_future(self.submit(coroutine))

    def submit(self, coroutine: Coroutine[Any, Any, R]) -> Future[R]:
        """Start a coroutine in the background loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())

    def stop(self) -> None:
        """Stop the loop and its thread."""
        with self._lock:
            if self.is_running:
                assert self._loop is not None
                assert self._thread is not None
                self._loop.call_soon_threadsafe(self._loop.stop)
                self._thread.join(5.0)
            self._loop = self._thread = None

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if not self.is_running:
                loop = self._loop = asyncio.new_event_loop()
                self._pid = os.getpid()
                self._thread = threading.Thread(
                    target=_serve, args=(loop,), name="forthwith-bridge", daemon=True
                )
                self._thread.start()
            assert self._loop is not None
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        loop.close()
