"""The threads that sync tasks run in."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class TaskThreads:
    """At most `size` threads, started when they are needed, for calls from one event loop.

    Unlike those of a ThreadPoolExecutor they are daemons: Python does not wait at its exit for a task
    that never ends, whose job was given back long before. And they are made for many short calls, of
    which each would otherwise cost more to hand over than to make:

    - One thread is called at a time. It calls the next when it takes a call and sees that others wait, so
      a call that computes is followed by more of them in the same thread, without a change of threads,
      and one that waits, for a disk or a network, lets the next thread begin at once.
    - The loop is woken once for all calls that have ended since it last looked.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._calls: deque[_Call] = deque()
        self._lock = threading.Lock()  # of the three below
        self._resting: list[threading.Lock] = []  # each is what one thread waits for
        self._started = 0
        self._is_one_called = False  # and has not come yet
        self._is_closed = False
        self._ended: deque[_Ended] = deque()
        self._is_loop_woken = False

    async def run(self, function: Callable[[], Any]) -> Any:
        """Call it in one of the threads, as soon as one is free.

        Raises what it raises, and RuntimeError if not even one thread can be had. A call whose caller is
        cancelled before it has begun is left out.
        """
        loop = asyncio.get_running_loop()
        call = _Call(function, loop.create_future(), loop)
        self._calls.append(call)
        self._call_thread()
        if not self._started:
            self._calls.remove(call)
            raise RuntimeError("no thread could be started: the process may have no more of them")
        return await call.future

    def close(self) -> None:
        """Let the threads end when their calls have; those that have not begun are left out."""
        with self._lock:
            self._is_closed = True
            resting, self._resting = self._resting, []
        while self._calls:
            self._calls.popleft().future.cancel()
        for bell in resting:
            bell.release()

    # -- threads ------------------------------------------------------------------------------------

    def _call_thread(self) -> None:
        """Have a thread come for the calls that wait, unless one is on its way or all are at work."""
        with self._lock:
            if self._is_one_called:
                return
            if self._resting:
                self._is_one_called = True
                self._resting.pop().release()
            elif self._started < self._size:
                self._is_one_called = True
                self._start_thread()

    def _start_thread(self) -> None:
        name = f"forthwith-task_{self._started}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError:  # as many as the system allows: those that are there do it all
            self._is_one_called = False
        else:
            self._started += 1

    def _work(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        self._is_one_called = False
        while True:
            while self._calls:
                self._take_one()
            with self._lock:
                if self._is_closed:
                    return
                if self._calls:  # it came when all were at work, this one too
                    continue
                self._resting.append(bell)
            bell.acquire()
            self._is_one_called = False

    def _take_one(self) -> None:
        try:
            call = self._calls.popleft()
        except IndexError:  # another thread was faster
            return
        if self._calls:
            self._call_thread()
        if not call.future.cancelled():
            self._tell(call.loop, call.ended())

    # -- the loop -----------------------------------------------------------------------------------

    def _tell(self, loop: asyncio.AbstractEventLoop, ended: _Ended) -> None:
        self._ended.append(ended)
        if self._is_loop_woken:  # it will come to this one, too: see _settle
            return
        self._is_loop_woken = True
        try:
            loop.call_soon_threadsafe(self._settle)
        except RuntimeError:  # the loop is closed, and nobody waits any more
            self._is_loop_woken = False

    def _settle(self) -> None:
        self._is_loop_woken = False  # first: who ends from now on wakes the loop again
        while self._ended:
            ended = self._ended.popleft()
            if ended.future.done():
                continue
            if ended.error is None:
                ended.future.set_result(ended.result)
            else:
                ended.future.set_exception(ended.error)


class _Call(NamedTuple):
    function: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop

    def ended(self) -> _Ended:
        """Make it."""
        try:
            return _Ended(self.future, self.function(), None)
        except BaseException as error:
            return _Ended(self.future, None, error)


class _Ended(NamedTuple):
    future: asyncio.Future[Any]
    result: Any
    error: BaseException | None
