"""Shows how `forthwith bench` goes: a progress bar in a terminal, a line for each round elsewhere.

All of it goes to stderr: stdout is for the result.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as Bar
    from rich.progress import TaskID

    from forthwith.bench.laboratory import Progress
    from forthwith.bench.settings import BenchSettings


class BenchDisplay:
    """`show` is given each Progress; `quiet` shows no more than the warning."""

    def __init__(self, settings: BenchSettings, *, quiet: bool) -> None:
        self._settings = settings
        self._quiet = quiet
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._said: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        if self._settings.url is not None:
            click.echo(warning(self._settings), err=True)
        if self._quiet:
            return self
        click.echo(introduction(self._settings), err=True)
        if sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task("starting", total=None)
            self._bar.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Show how far the laboratory is."""
        head = f"{progress.scenario}, round {progress.round} of {progress.rounds}"
        if self._bar is not None and self._task is not None:
            step = progress.step
            self._bar.update(
                self._task,
                description=f"{head}: {step.text}",
                completed=min(step.done, step.total),
                total=step.total or None,
            )
        elif not self._quiet and self._said != (progress.scenario, progress.round):
            self._said = (progress.scenario, progress.round)
            click.echo(head, err=True)


def warning(settings: BenchSettings) -> str:
    """Return what the owner of a database must know."""
    from forthwith.cli.database_name import without_password

    assert settings.url is not None, "for a database of the user's"
    text = (
        f"WARNING: this loads {without_password(settings.url)} as much as it can: other users of the "
        "server will notice. It works in a schema of its own, which it removes afterwards."
    )
    if "old-snapshot" in settings.scenarios:
        text += " Meanwhile old-snapshot keeps vacuum from cleaning up in the whole database."
    return text


def introduction(settings: BenchSettings) -> str:
    """Return what is going to be measured, and where."""
    where = "an embedded PostgreSQL of its own" if settings.url is None else "your database"
    rounds = "1 round" if settings.rounds == 1 else f"{settings.rounds} rounds"
    return f"{rounds} of {', '.join(settings.scenarios)} on {where}. Ctrl-C stops and cleans up."


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
