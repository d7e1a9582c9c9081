"""Names for the shell to complete. What cannot be found out in time is not offered, without a word."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

from forthwith.cli.settings import settings_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from forthwith import App
    from forthwith.cli.settings import Settings

LOOK_S = 0.9
"""Longer than that nobody waits for a completion."""


def complete_queue(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Return the names of queues that the app's tasks or the database have."""
    return _beginning(begun, _in_time(_queues, settings_of(context)))


def complete_task(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Return the names of tasks that the app or the database has."""
    return _beginning(begun, _in_time(_tasks, settings_of(context)))


def complete_periodic(context: click.Context, _parameter: click.Parameter, begun: str) -> list[str]:
    """Return the names of the periodic tasks that workers have told of."""
    return _beginning(begun, _in_time(_periodic, settings_of(context)))


def _beginning(begun: str, names: Iterable[str]) -> list[str]:
    # A name that a terminal could not show is none that somebody types.
    return sorted(name for name in set(names) if name.startswith(begun) and name.isprintable())


def _in_time(look: Callable[[Settings, set[str]], None], settings: Settings) -> set[str]:
    """Return what a look has found until time was up."""
    found: set[str] = set()

    def run() -> None:
        with suppress(Exception, SystemExit):
            look(settings, found)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LOOK_S)
    return found.copy()


def _queues(settings: Settings, found: set[str]) -> None:
    app = _app(settings)
    found.update(task.queue for task in app.tasks.values() if not task.name.startswith("builtin"))
    found.update(_asked(app, settings, "queues"))


def _tasks(settings: Settings, found: set[str]) -> None:
    app = _app(settings)
    found.update(app.tasks)
    found.update(_asked(app, settings, "tasks"))


def _periodic(settings: Settings, found: set[str]) -> None:
    found.update(_asked(_app(settings), settings, "periodic"))


def _app(settings: Settings) -> App:
    from forthwith import App
    from forthwith.cli.app_loader import load_app

    return load_app(settings.app_path) if settings.app_path else App(settings.database)


def _asked(app: App, settings: Settings, what: Literal["queues", "tasks", "periodic"]) -> list[str]:
    import asyncio

    from forthwith.operations import Desk

    if not (settings.app_path or settings.database or os.environ.get("FORTHWITH_DATABASE_URL")):
        return []  # a press of a key starts no server

    async def ask() -> list[str]:
        async with Desk(app) as desk:
            match what:
                case "queues":
                    return [queue.name for queue in await desk.queues()]
                case "tasks":
                    return [task.name for task in await desk.tasks()]
                case "periodic":
                    return [state.task for state in await desk.periodic()]

    return asyncio.run(ask())
