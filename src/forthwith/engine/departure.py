"""Sees to it that a process which was told to stop is gone in time, whatever its tasks do.

The order in which a worker stops needs the event loop. If a task does not give it back, a thread gives
back the jobs instead, and ends the process.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

logger = logging.getLogger(__name__)

LEAVE_WITHIN_S = 4.25
"""After the grace period, or after the signal that ends it: what the worker has to leave in order."""
GIVE_BACK_WITHIN_S = 0.4
FLUSH_WITHIN_S = 0.1
ABRUPT_EXIT_CODE = 7


class Departure:
    """A countdown, which the first stop signal starts and the next one shortens.

    A `grace_s` of None is no limit: then only the second signal starts it.
    """

    def __init__(self) -> None:
        self._grace_s: float | None = None
        self._give_back: Callable[[float], None] | None = None
        self._signals_seen = 0
        self._deadline_s: float | None = None
        self._changed = threading.Condition()
        self._called_off = False
        self._exit_code = ABRUPT_EXIT_CODE

    def expect(self, grace_s: float | None, give_back: Callable[[float], None]) -> None:
        """Prepare for a worker. `give_back` gives back what it holds, in the seconds it is told."""
        self._grace_s, self._give_back = grace_s, give_back

    def signalled(self, count: int) -> None:
        """Take note that `count` signals have come in all. From any thread; again is fine."""
        with self._changed:
            if count <= self._signals_seen or self._called_off:
                return
            is_first, self._signals_seen = self._signals_seen == 0, count
            grace_s = 0.0 if count > 1 else self._grace_s
            if grace_s is None:
                return
            deadline_s = time.monotonic() + grace_s + LEAVE_WITHIN_S
            starts = self._deadline_s is None
            if starts or not is_first:
                self._deadline_s = min(deadline_s, self._deadline_s or deadline_s)
            self._changed.notify_all()
        if starts:
            threading.Thread(
                target=self._count_down, name="forthwith-departure", daemon=True
            ).start()

    def left(self, exit_code: int) -> None:
        """Take note that the worker has left: what may still keep the process holds no job."""
        self._give_back = None
        self._exit_code = exit_code

    def call_off(self) -> None:
        """Let the process live on."""
        with self._changed:
            self._called_off = True
            self._changed.notify_all()

    def _count_down(self) -> None:
        with self._changed:
            while not self._called_off:
                assert self._deadline_s is not None, "the countdown starts with a deadline"
                left_s = self._deadline_s - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
            else:
                return
        self._depart()

    def _depart(self) -> None:
        give_back = self._give_back
        if give_back is not None:
            briefly(FLUSH_WITHIN_S, logger.error, _BLOCKED, GIVE_BACK_WITHIN_S)
            briefly(GIVE_BACK_WITHIN_S, give_back, GIVE_BACK_WITHIN_S)
        exit_at_once(self._exit_code)


_BLOCKED = (
    "The worker could not leave in order: something blocks its event loop. Giving its jobs back within "
    "%g s, and ending the process"
)

_of_the_process: ContextVar[Departure | None] = ContextVar("departure", default=None)


@contextmanager
def departure_of_process() -> Iterator[Departure]:
    """Let the countdown of a worker that runs in the block go on until the block's end.

    For who owns the process, and leaves soon after the worker has. Otherwise it ends with the worker.
    """
    departure = Departure()
    token = _of_the_process.set(departure)
    try:
        yield departure
    finally:
        _of_the_process.reset(token)


@contextmanager
def departure_of_worker(
    grace_s: float | None, give_back: Callable[[float], None]
) -> Iterator[Departure]:
    """Count down from a stop signal on, while a worker runs in the block."""
    departure = _of_the_process.get() or Departure()
    departure.expect(grace_s, give_back)
    exit_code = 1
    try:
        yield departure
        exit_code = 0
    finally:
        departure.left(exit_code)
        if departure is not _of_the_process.get():
            departure.call_off()


def exit_at_once(code: int) -> None:
    """End the process: no exit handlers, no waiting for threads, but what was logged is written."""
    # A stuck thread may hold a handler's lock, so flushing must not be waited for either.
    briefly(FLUSH_WITHIN_S, _flush)
    os._exit(code)


def briefly(within_s: float, call: Callable[..., object], *arguments: object) -> None:
    """Call it in a thread of its own, and wait for it no longer than that."""
    thread = threading.Thread(target=call, args=arguments, name="forthwith-briefly", daemon=True)
    thread.start()
    thread.join(within_s)


def _flush() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
