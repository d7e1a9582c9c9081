"""Make sure that a worker which has stopped is gone soon, whatever its tasks' threads do."""

from __future__ import annotations

import logging
import os
import sys
import threading
import time

logger = logging.getLogger(__name__)

# A worker that left tasks behind need not wait for their threads; one that did not may have exit
# handlers of its own to run. Either way it is gone within five seconds of its grace period: it takes
# two to abort what runs.
LEAVE_STUCK_WITHIN_S = 1.0
LEAVE_WITHIN_S = 2.5
_FLUSH_WITHIN_S = 0.5


def leave_soon(code: int, *, stuck: bool = False) -> None:
    """Start the countdown after which the process ends with `code`, if it has not by itself.

    `stuck` says that tasks are known to run on in their threads.

    Call it when the worker has stopped and nothing is left to be written. A sync task that never
    ends keeps its thread, which Python cannot kill; Python waits for such threads before it exits,
    for ever. The job itself is safe: it was given back, or its lease expires, and another worker
    runs it. So the process leaves by `os._exit`, which skips exit handlers and waits for nobody.
    """
    within_s = LEAVE_STUCK_WITHIN_S if stuck else LEAVE_WITHIN_S
    # A daemon thread: it runs while Python waits for the others, and keeps nobody waiting itself.
    threading.Thread(
        target=_leave, args=(code, within_s), name="forthwith-departure", daemon=True
    ).start()


def _leave(code: int, within_s: float) -> None:
    time.sleep(within_s)
    stuck = [thread.name for thread in threading.enumerate() if _keeps_waiting(thread)]
    logger.warning("Leaving without %d thread(s) that did not end", len(stuck))
    # The stuck thread may hold a handler's lock, so flushing must not be waited for either.
    flusher = threading.Thread(target=_flush, daemon=True)
    flusher.start()
    flusher.join(_FLUSH_WITHIN_S)
    os._exit(code)


def _keeps_waiting(thread: threading.Thread) -> bool:
    return not thread.daemon and thread is not threading.main_thread()


def _flush() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
