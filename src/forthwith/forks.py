"""What a process that was forked off a worker must let go of at once.

A child has copies of its parent's sockets, signal handlers and objects, and none of its threads. It must
not answer the parent's signals or act on its jobs, and it must not keep the parent's sessions open: the
server would believe that a killed worker still lives.
"""

from __future__ import annotations

import os
import signal
import threading
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.pq.abc import PGconn

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

_child = False
_calls: set[Callable[[], None]] = set()


class HasConnection(Protocol):
    """A psycopg connection, sync or async."""

    @property
    def pgconn(self) -> PGconn: ...


_connections: weakref.WeakSet[Any] = weakref.WeakSet()


def end_child(pid: int) -> None:
    """End this process, if it was forked off the process with that id, and should have ended itself.

    It has come back from the task that forked it. What follows is the worker's business alone.
    """
    if _child and os.getpid() != pid:
        os.write(2, b"forthwith: a process that a task forked off came back from the task: ended\n")
        os._exit(1)


def call_in_child(call: Callable[[], None]) -> Callable[[], None]:
    """Call it in every process that is forked off from now on. Returns what ends that."""
    _calls.add(call)
    return lambda: _calls.discard(call)


def close_in_child(connection: HasConnection) -> None:
    """Close a connection's socket in every process that is forked off, without a word to the server."""
    _connections.add(connection)


class _Mask(threading.local):
    """Which signals the thread that forks held back before."""

    before: set[Any] | None = None


_mask = _Mask()


def _hold_signals() -> None:
    # One that comes to the child before it has let go of our handlers would be taken for the parent's.
    if _calls:
        _mask.before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)


def _free_signals() -> None:
    before, _mask.before = _mask.before, None
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin_child() -> None:
    if _calls or _connections:
        _let_go()
    _free_signals()


def _let_go() -> None:
    global _child
    _child = True
    for connection in list(_connections):
        # Not by libpq: it would say goodbye in the parent's name.
        with suppress(Exception):
            os.close(connection.pgconn.socket)
    for call in list(_calls):
        call()
    _calls.clear()
    _connections.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_hold_signals, after_in_parent=_free_signals, after_in_child=_begin_child
    )
