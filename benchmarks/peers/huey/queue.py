"""Huey's queue in an SQLite file, for who defers and for the worker alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from huey import SqliteHuey

if TYPE_CHECKING:
    from collections.abc import Callable

    from huey.api import TaskWrapper

KINDS = ("noop", "thread", "cpu", "fail_once")
RETRIES = 3
NAME = "bench"


def make(
    database: str, run: Callable[[str, int], None]
) -> tuple[SqliteHuey, dict[str, TaskWrapper]]:
    """The queue in the file of `sqlite:///<path>`, and its task of each kind."""
    queue = SqliteHuey(
        NAME, filename=database.removeprefix("sqlite:///"), fsync=True, store_none=True
    )
    return queue, {kind: _task(queue, kind, run) for kind in KINDS}


def _task(queue: SqliteHuey, kind: str, run: Callable[[str, int], None]) -> TaskWrapper:
    def task(number: int) -> None:
        run(kind, number)

    return queue.task(name=kind, retries=RETRIES, retry_delay=0)(task)
