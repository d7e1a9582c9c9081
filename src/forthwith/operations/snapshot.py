"""An answer that many may share for a while."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

AGE_MIN_S = 1.0
COST_SHARE = 20
"""An answer is shared for so many times as long as it took: one that is asked for all the time then
costs a twentieth of one connection's time."""
SLOW_S = 0.1
LATE_TIMES = 3
"""One that took `SLOW_S` and more is told a while longer, while a new one is on its way."""


class Answer(NamedTuple, Generic[T]):
    """What was found out, and when."""

    value: T
    asked_s: float
    """By the monotonic clock."""
    took_s: float

    @property
    def good_for_s(self) -> float:
        """How long it is told as it is."""
        return max(AGE_MIN_S, COST_SHARE * self.took_s)

    @property
    def tolerable_for_s(self) -> float:
        """How long it is told while a new one is on its way."""
        return self.good_for_s * (LATE_TIMES if self.took_s >= SLOW_S else 1)


class Snapshot(Generic[T]):
    """Asks at most once at a time, and no more often than the cost allows."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._answer: Answer[T] | None = None
        self._asking: asyncio.Task[Answer[T]] | None = None

    async def get(self) -> T:
        """Return an answer that is young enough, asking if need be."""
        answer = self._answer
        age_s = float("inf") if answer is None else time.monotonic() - answer.asked_s
        if answer is not None and age_s <= answer.good_for_s:
            return answer.value
        asking = self._begin()
        if answer is not None and age_s <= answer.tolerable_for_s:
            return answer.value
        return (await asyncio.shield(asking)).value

    def forget(self) -> None:
        """Ask anew next time: something was done that changes the answer. One on its way does not count."""
        self._answer = self._asking = None

    async def close(self) -> None:
        """Stop asking."""
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await asking

    def _begin(self) -> asyncio.Task[Answer[T]]:
        if self._asking is None:
            self._asking = asyncio.create_task(self._answered(), name="snapshot")
            self._asking.add_done_callback(self._keep)
        return self._asking

    async def _answered(self) -> Answer[T]:
        asked_s = time.monotonic()
        value = await self._ask()
        return Answer(value, asked_s, time.monotonic() - asked_s)

    def _keep(self, asking: asyncio.Task[Answer[T]]) -> None:
        """Keep the answer, unless it was forgotten meanwhile. Whoever waits for it sees its error."""
        if not asking.cancelled() and asking.exception() is None and asking is self._asking:
            self._answer = asking.result()
        if asking is self._asking:
            self._asking = None
