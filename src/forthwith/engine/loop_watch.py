"""Says so when a task blocks the event loop."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import CodeType, FrameType

logger = logging.getLogger(__name__)

TICK_S = 1.0
BLOCKED_S = 5.0


class LoopWatch:
    """A thread that warns when the event loop has stood still for five seconds, ten, twenty and so on.

    It is no other thread's job: a log that nobody reads may block whoever writes to it, and the lease
    must be kept even then. `running_names` names the tasks of the jobs that run, and `run_code` is the
    code of the function that runs one, which has it as `job`.
    """

    def __init__(self, running_names: Callable[[], Sequence[str]], run_code: CodeType) -> None:
        self._running_names = running_names
        self._run_code = run_code
        self._loop_thread = threading.get_ident()
        self._ticked_s = time.monotonic()
        self._stop = threading.Event()

    async def run(self) -> None:
        """Watch the loop in which this runs until cancelled."""
        threading.Thread(target=self._watch, name="forthwith-loop-watch", daemon=True).start()
        try:
            while True:
                self._ticked_s = time.monotonic()
                await asyncio.sleep(TICK_S)
        finally:
            self._stop.set()

    def _watch(self) -> None:
        warn_after_s = BLOCKED_S
        while not self._stop.wait(TICK_S):
            blocked_s = time.monotonic() - self._ticked_s
            if blocked_s < BLOCKED_S:
                warn_after_s = BLOCKED_S
            elif blocked_s >= warn_after_s:
                warn_after_s *= 2
                self._warn(blocked_s)

    def _warn(self, blocked_s: float) -> None:
        stack = _stack_of(self._loop_thread)
        jobs = [frame.f_locals["job"] for frame in stack if frame.f_code is self._run_code]
        logger.warning(
            "The event loop has been blocked for %.0f s by %s (%s). Make that task sync (it then runs "
            "in a thread) or await instead of blocking. The lease is kept meanwhile",
            blocked_s,
            f"job {jobs[0].id} ({jobs[0].task})" if jobs else self._suspects(),
            _place(stack),
        )

    def _suspects(self) -> str:
        return f"one of these tasks: {', '.join(self._running_names()) or 'none that runs'}"


def _stack_of(thread: int) -> list[FrameType]:
    frame = sys._current_frames().get(thread)  # noqa: SLF001 -- documented, for debugging
    return [] if frame is None else [frame for frame, _ in traceback.walk_stack(frame)]


def _place(stack: Sequence[FrameType]) -> str:
    if not stack:
        return "nowhere"
    return f"{stack[0].f_code.co_filename}:{stack[0].f_lineno}, in {stack[0].f_code.co_name}"
