"""`forthwith pause`: let no worker start jobs of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from forthwith.cli.completion import complete_queue
from forthwith.cli.output import print_json
from forthwith.cli.printable import one_line
from forthwith.cli.session import any_app, in_open_app

if TYPE_CHECKING:
    from collections.abc import Collection

    from forthwith import App


@click.command()
@click.argument(
    "queues", metavar="QUEUE...", nargs=-1, required=True, shell_complete=complete_queue
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(queues: tuple[str, ...], *, as_json: bool) -> None:
    """Let no worker start jobs of these queues, until they are resumed.

    What runs goes on. What workers have claimed and not started they give back, within a second.
    Jobs can be deferred as ever, and wait.
    """

    async def pause_all(app: App) -> tuple[dict[str, bool], list[str]]:
        changed = {queue: await app.pause_queue_async(queue) for queue in queues}
        return changed, await _never_heard_of(app, queues)

    changed, strange = in_open_app(any_app(), pause_all)
    for name in strange:
        click.echo(
            f"{one_line(name)}: there is no job in this queue, nor was one within the hour: is the name"
            " right? `forthwith queues` lists those that have any.",
            err=True,
        )
    if as_json:
        told = [{"name": name, "paused": True, "changed": new} for name, new in changed.items()]
        print_json({"queues": told})
        return
    for name, new in changed.items():
        click.echo(f"{one_line(name)}: {'paused' if new else 'was paused already'}")


async def _never_heard_of(app: App, queues: Collection[str]) -> list[str]:
    """Return the queues of which nothing is known: a pause takes any name, a misspelt one too."""
    from forthwith.errors import ForthwithError
    from forthwith.operations import Desk

    known = {task.queue for task in app.tasks.values()}
    async with Desk(app) as desk:
        try:
            states = await desk.queues()
            known.update(*(worker.queues or () for worker in await desk.workers()))
        except ForthwithError:  # they are paused; that is what counts
            return []
    known.update(
        state.name
        for state in states
        if state.waiting or state.running or state.failed_last_hour or state.ended_per_minute
    )
    return [queue for queue in queues if queue not in known]
