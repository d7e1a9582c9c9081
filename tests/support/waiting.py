"""Waiting for facts, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import inspect
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Fact = TypeVar("Fact")

POLL_S = 0.01


async def wait_until(
    fact: Callable[[], Any], deadline_s: float = 30.0, poll_s: float = POLL_S
) -> Any:
    """Ask for `fact` every `poll_s` seconds until it is true, and return it.

    `fact` is a function, plain or async. An AssertionError names it after `deadline_s` seconds.

        await wait_until(lambda: effects.count("done") == 3)
    """
    deadline = time.monotonic() + deadline_s
    while True:
        answer = fact()
        value = await answer if inspect.isawaitable(answer) else answer
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s:g} s: {_describe(fact)}")
        await asyncio.sleep(poll_s)


def wait_until_sync(fact: Callable[[], Fact], deadline_s: float = 30.0) -> Fact:
    """Like wait_until(), for tests without an event loop."""
    deadline = time.monotonic() + deadline_s
    while not (value := fact()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s:g} s: {_describe(fact)}")
        time.sleep(POLL_S)
    return value


def _describe(fact: Callable[[], object]) -> str:
    try:
        return inspect.getsource(fact).strip()
    except (OSError, TypeError):
        return repr(fact)
