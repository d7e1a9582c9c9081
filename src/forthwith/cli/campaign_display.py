"""Shows how a campaign of `forthwith verify` goes: live in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

import click

if TYPE_CHECKING:
    from types import TracebackType

    from rich.live import Live
    from rich.table import Table

    from forthwith.verify.campaign import CampaignSettings, Progress

LINE_INTERVAL_S = 10.0
BAR_WIDTH = 40


class CampaignDisplay:
    """`show` is given each Progress; `quiet` shows nothing."""

    def __init__(self, settings: CampaignSettings, *, quiet: bool) -> None:
        self._settings = settings
        self._quiet = quiet
        self._live: Live | None = None
        self._next_line_s = 0.0

    def __enter__(self) -> Self:
        if self._quiet:
            return self
        where = (
            "an embedded PostgreSQL of its own" if self._settings.url is None else "your database"
        )
        click.echo(
            f"Seed {self._settings.seed}: {self._settings.duration_s / 60:g} minutes of work and "
            f"faults on {where}, then the verdict. Faults: {', '.join(self._settings.kinds)}."
        )
        if sys.stdout.isatty():
            from rich.live import Live

            self._live = Live(transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, progress: Progress) -> None:
        """Show how far the campaign is."""
        if self._live is not None:
            self._live.update(_picture(progress, self._settings.duration_s))
        elif not self._quiet and progress.elapsed_s >= self._next_line_s:
            self._next_line_s = progress.elapsed_s + LINE_INTERVAL_S
            click.echo(
                f"{progress.elapsed_s:5.0f} s  {progress.deferred} jobs deferred, "
                f"{_waiting(progress)} not final, {progress.faults.total()} faults struck"
            )


def _picture(progress: Progress, duration_s: float) -> Table:
    from rich.progress_bar import ProgressBar
    from rich.table import Table

    settling = "" if progress.elapsed_s < duration_s else ", coming to rest"
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row(
        "time",
        ProgressBar(
            total=duration_s, completed=min(progress.elapsed_s, duration_s), width=BAR_WIDTH
        ),
        f"{progress.elapsed_s:.0f} of {duration_s:.0f} s{settling}",
    )
    table.add_row("jobs", f"{progress.deferred} deferred", f"{_waiting(progress)} not final")
    table.add_row("workers", f"{progress.workers} processes", "")
    for kind, count in sorted(progress.faults.items()):
        table.add_row("fault", kind, str(count))
    return table


def _waiting(progress: Progress) -> str:
    return "?" if progress.waiting is None else str(progress.waiting)
