"""SIGTERM and SIGINT for a worker: the first stops it, the second hurries it."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_signals(stop: Callable[[], None], hurry: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the first signal and `hurry` at each further one, while in the block.

    Only in a main thread, and not on Windows, can signals be handled; elsewhere this does nothing.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        logger.warning("Signals are not handled here (not the main thread, or Windows)")
        yield
        return
    signals_seen = 0

    def receive(name: str) -> None:
        nonlocal signals_seen
        signals_seen += 1
        if signals_seen == 1:
            logger.info("%s: finishing what runs, then leaving", name)
            stop()
        else:
            logger.warning("%s again: aborting what runs", name)
            hurry()

    loop = asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        loop.add_signal_handler(number, receive, number.name)
    try:
        yield
    finally:
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
