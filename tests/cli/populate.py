"""Jobs for the command line to work on, many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import forthwith

if TYPE_CHECKING:
    from procrastinate.types import JSONDict


def defer_many(url: str, count: int, *, task: str = "t", queue: str = "mail") -> list[int]:
    """Defer so many jobs of a task that nobody knows; return their ids."""
    app = forthwith.App(url)
    with app.open():
        deferrer = app.configure_task(task, queue=queue, allow_unknown=True)
        arguments: list[JSONDict] = [{"n": number} for number in range(count)]
        return list(deferrer.batch_defer(*arguments))
