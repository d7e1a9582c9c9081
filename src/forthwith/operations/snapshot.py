"""An answer that many may share for a while."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

AGE_MIN_S = 1.0
COST_SHARE = 20
"""An answer is shared for so many times as long as it took: one that is asked for all the time then
costs a twentieth of one connection's time."""


class Answer(NamedTuple, Generic[T]):
    """What was found out, when, and for how long it may be told."""

    value: T
    at_s: float
    """When it was asked, by the monotonic clock."""
    good_for_s: float


class Snapshot(Generic[T]):
    """Asks at most once at a time, and no more often than the cost allows."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._answer: Answer[T] | None = None
        self._asking = asyncio.Lock()

    async def get(self) -> T:
        """Return an answer that is young enough, asking if need be."""
        async with self._asking:
            if self._answer is None or _is_old(self._answer):
                began_s = time.monotonic()
                value = await self._ask()
                took_s = time.monotonic() - began_s
                self._answer = Answer(value, began_s, max(AGE_MIN_S, COST_SHARE * took_s))
            return self._answer.value

    def forget(self) -> None:
        """Ask anew next time: something was done that changes the answer."""
        self._answer = None


def _is_old(answer: Answer[T]) -> bool:
    return time.monotonic() - answer.at_s > answer.good_for_s
