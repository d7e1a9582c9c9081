"""Runs a coroutine in a context of its own, without a task of its own."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator


class Isolated:
    """Awaits a coroutine under a copy of the current context variables.

    What one job sets (a request id, a trace) must not be seen by the next that the same runner
    takes. An asyncio task would give each job its own context as well, at ten times the cost: this
    steps the coroutine by hand instead, and passes what it waits for on to the runner's task.
    """

    __slots__ = ("_coroutine",)

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine

    def __await__(self) -> Generator[Any, Any, Any]:
        run = contextvars.copy_context().run
        send, throw = self._coroutine.send, self._coroutine.throw
        try:
            awaited = run(send, None)
            while True:
                try:
                    answer = yield awaited
                except BaseException as error:
                    awaited = run(throw, error)
                else:
                    awaited = run(send, answer)
        except StopIteration as end:
            return end.value
