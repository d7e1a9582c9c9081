"""A worker process under a supervisor notices the supervisor's death and stops."""

from __future__ import annotations

import logging
import os
import signal
import threading

logger = logging.getLogger(__name__)

_STDIN = 0


def stop_when_supervisor_is_gone() -> None:
    """Send this process SIGTERM when the supervisor's end of the pipe on standard input closes.

    The kernel closes it when the supervisor dies, even by SIGKILL. The pipe moves to a descriptor
    of its own, out of sight of the tasks and of the programs that they start.
    """
    lifeline = os.dup(_STDIN)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _STDIN)
    os.close(nothing)
    threading.Thread(
        target=_wait_for_end, args=(lifeline,), name="forthwith-orphan-watch", daemon=True
    ).start()


def _wait_for_end(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    logger.warning("The supervisor is gone: this worker stops")
    os.kill(os.getpid(), signal.SIGTERM)
