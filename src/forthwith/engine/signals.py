"""SIGTERM and SIGINT for a worker: the first stops it, the second hurries it."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from forthwith import forks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forthwith.engine.departure import Departure

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_signals(
    stop: Callable[[], None], hurry: Callable[[], None], departure: Departure
) -> Iterator[None]:
    """Call `stop` at the first signal and `hurry` at each further one, while in the block.

    Both are called in the event loop. `departure` is told from a thread, too, for the loop may be
    blocked. Only in a main thread, and not on Windows, can signals be handled; elsewhere this does
    nothing.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        logger.warning("Signals are not handled here (not the main thread, or Windows)")
        yield
        return
    signals_seen = 0

    def receive(name: str) -> None:
        nonlocal signals_seen
        signals_seen += 1
        departure.signalled(signals_seen)
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
    watch = SignalWatch(departure)
    forget_forks = forks.call_in_child(lambda: _let_go(watch))
    try:
        yield
    finally:
        forget_forks()
        watch.close()
        for number in SIGNALS:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])


class SignalWatch:
    """A thread that sees each stop signal at once, though the main thread may be busy for ever.

    At a signal the interpreter writes its number to a descriptor, whichever code runs. The event loop
    has set one of its own: what we read is passed on to that. Nor does it matter if a task puts
    another Python handler in the place of ours.
    """

    def __init__(self, departure: Departure) -> None:
        self._departure = departure
        self._signals_seen = 0
        self._end, self._wakeup = socket.socketpair()
        self._wakeup.setblocking(False)
        self._loops_wakeup = signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._watch, name="forthwith-signals", daemon=True).start()

    def close(self) -> None:
        """Leave the signals to the event loop. In the main thread."""
        ours = self._wakeup.fileno()
        present = signal.set_wakeup_fd(self._loops_wakeup)
        if present == ours:
            self._wakeup.close()  # which ends the thread
        else:  # somebody came after us, and passes on to us
            signal.set_wakeup_fd(present)

    def close_in_child(self) -> None:
        """Let go of what is the parent's. In the main thread of a forked process."""
        signal.set_wakeup_fd(-1)
        self._wakeup.close()
        self._end.close()

    def _watch(self) -> None:
        while numbers := self._end.recv(64):
            for number in numbers:
                if number in SIGNALS:
                    self._signals_seen += 1
                    self._departure.signalled(self._signals_seen)
            with suppress(OSError):  # the loop's is full or closed: nothing that we can mend
                os.write(self._loops_wakeup, numbers)
        self._end.close()


def _let_go(watch: SignalWatch) -> None:
    """In a forked process: its signals are its own, and kill it unless it says otherwise."""
    watch.close_in_child()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
