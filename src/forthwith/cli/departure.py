"""Make sure that a worker which has stopped is gone soon, whatever its tasks' threads do."""

from __future__ import annotations

import logging
import threading
import time

from forthwith.engine.departure import briefly, exit_at_once

logger = logging.getLogger(__name__)

# A worker that left tasks behind need not wait for their threads; one that did not may have exit
# handlers of its own to run. If a signal has stopped it, the countdown of engine/departure.py goes on
# as well: the process is gone within five seconds of its grace period.
LEAVE_STUCK_WITHIN_S = 1.0
LEAVE_WITHIN_S = 2.5
_LOG_WITHIN_S = 0.1


def leave_soon(code: int, *, stuck: bool = False) -> None:
    """Start the countdown after which the process ends with `code`, if it has not by itself.

    `stuck` says that tasks are known to run on in their threads.

    Call it when the worker has stopped and nothing is left to be written. Python cannot kill a thread,
    and waits for many before it exits, for ever. The job itself is safe: it was given back, or its
    lease expires, and another worker runs it. So the process leaves by `os._exit`, which skips exit
    handlers and waits for nobody.
    """
    within_s = LEAVE_STUCK_WITHIN_S if stuck else LEAVE_WITHIN_S
    # A daemon thread: it runs while Python waits for the others, and keeps nobody waiting itself.
    threading.Thread(
        target=_leave, args=(code, within_s), name="forthwith-departure", daemon=True
    ).start()


def _leave(code: int, within_s: float) -> None:
    time.sleep(within_s)
    stuck = [thread.name for thread in threading.enumerate() if _keeps_waiting(thread)]
    # Whoever is stuck may hold the log's lock.
    briefly(
        _LOG_WITHIN_S, logger.warning, "Leaving without %d thread(s) that did not end", len(stuck)
    )
    exit_at_once(code)


def _keeps_waiting(thread: threading.Thread) -> bool:
    return not thread.daemon and thread is not threading.main_thread()
