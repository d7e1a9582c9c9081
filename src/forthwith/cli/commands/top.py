"""`forthwith top`: a live view of queues, workers and failures."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from forthwith.cli.database_report import database_name
from forthwith.cli.session import any_app, at_desk

if TYPE_CHECKING:
    from rich.console import Console

    from forthwith import App
    from forthwith.operations import Desk, Overview

_HELP = "q leaves"


@click.command(epilog="Example: forthwith top --interval 5")
@click.option(
    "--interval",
    "interval_s",
    metavar="SECONDS",
    type=click.FloatRange(0.2, 3600),
    default=1.0,
    show_default=True,
    help="Look this often.",
)
def command(*, interval_s: float) -> None:
    """Watch queues, workers, what is failing and what is wrong, until q or Ctrl-C.

    It goes on when the database is away, and says so. Where the output is no terminal, it shows all once
    and ends.
    """
    from forthwith.cli.output import console

    app, output = any_app(), console()
    if sys.stdout.isatty() and not output.is_dumb_terminal:
        _watch(app, output, interval_s)
    else:
        _show_once(app, output)


def _show_once(app: App, output: Console) -> None:
    from forthwith.cli.top.screen import Size, screen
    from forthwith.cli.top.view import View

    async def ask(desk: Desk) -> Overview:
        return await desk.overview()

    overview = at_desk(app, ask)
    output.print(screen(View(database_name(app), overview), Size(output.width, None)))


def _watch(app: App, output: Console, interval_s: float) -> None:
    import asyncio

    asyncio.run(_watching(app, output, interval_s))


async def _watching(app: App, output: Console, interval_s: float) -> None:
    import asyncio

    from forthwith.cli.top.screen import screen
    from forthwith.cli.top.terminal import Terminal
    from forthwith.cli.top.watcher import Watcher

    watcher = Watcher(app, database_name(app))
    with Terminal(output) as terminal:
        looking = asyncio.create_task(watcher.run(interval_s, terminal.wake))
        looking.add_done_callback(lambda _: terminal.leave())
        while not terminal.is_over:
            terminal.draw(screen(watcher.view, terminal.size, help_text=_HELP))
            await terminal.wait(interval_s)
        is_over_by_itself = looking.done()
        looking.cancel()
        await asyncio.wait([looking])
        await watcher.close()
    if is_over_by_itself:
        looking.result()  # raises what ended it
