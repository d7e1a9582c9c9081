"""The demo's live display: bars in a terminal, a line a second anywhere else."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

LINE_EVERY_S = 1.0


class Snapshot(NamedTuple):
    """Where things stand, as the service and the receiver tell it."""

    accepted: int
    delivered: int
    refused: int
    waiting: int
    running: int

    def __str__(self) -> str:
        return (
            f"accepted {self.accepted:,}  delivered {self.delivered:,}  refused {self.refused:,}  "
            f"waiting {self.waiting:,}  running {self.running:,}"
        )


class Display:
    """A context manager that shows snapshots as they come, and news between them."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:>10}"),
            BarColumn(bar_width=40),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._accepted = self._progress.add_task("accepted", total=total, detail="")
        self._delivered = self._progress.add_task("delivered", total=total, detail="")
        self._started = time.monotonic()
        self._next_line_at = self._started

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, snapshot: Snapshot) -> None:
        """Show the latest numbers."""
        detail = (
            f"{snapshot.refused:,} refused, {snapshot.waiting:,} waiting, "
            f"{snapshot.running:,} running"
        )
        self._progress.update(self._accepted, completed=snapshot.accepted)
        self._progress.update(self._delivered, completed=snapshot.delivered, detail=detail)
        if not self._console.is_terminal and time.monotonic() >= self._next_line_at:
            self._next_line_at = time.monotonic() + LINE_EVERY_S
            self.tell(str(snapshot))

    def tell(self, news: str) -> None:
        """Say what happened, with the time since the start."""
        elapsed_s = time.monotonic() - self._started
        self._console.print(f"{elapsed_s:6.1f} s  {news}", highlight=False, soft_wrap=True)
