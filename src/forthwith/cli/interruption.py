"""Run a coroutine that cleans up after itself, whoever interrupts it."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

R = TypeVar("R")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_until_interrupted(work: Coroutine[Any, Any, R]) -> R:
    """Run it to its end. SIGINT, SIGTERM or SIGHUP cancels it, once: a second one must not disturb it
    while it cleans up.

    Raises what it raises, and `KeyboardInterrupt` when it was cancelled.
    """
    try:
        return asyncio.run(_cancelled_by_signals(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _cancelled_by_signals(work: Coroutine[Any, Any, R]) -> R:
    task = asyncio.current_task()
    assert task is not None, "runs inside asyncio.run"
    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if not interrupted:
            interrupted = True
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupt)
    return await work
