"""`forthwith pause`: let no worker start jobs of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from forthwith.cli.output import print_json
from forthwith.cli.printable import one_line
from forthwith.cli.session import any_app, in_open_app

if TYPE_CHECKING:
    from forthwith import App


@click.command()
@click.argument("queues", metavar="QUEUE...", nargs=-1, required=True)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(queues: tuple[str, ...], *, as_json: bool) -> None:
    """Let no worker start jobs of these queues, until they are resumed.

    What runs goes on. What workers have claimed and not started they give back, within a second.
    Jobs can be deferred as ever, and wait.
    """

    async def pause_all(app: App) -> dict[str, bool]:
        return {queue: await app.pause_queue_async(queue) for queue in queues}

    changed = in_open_app(any_app(), pause_all)
    if as_json:
        told = [{"name": name, "paused": True, "changed": new} for name, new in changed.items()]
        print_json({"queues": told})
        return
    for name, new in changed.items():
        click.echo(f"{one_line(name)}: {'paused' if new else 'was paused already'}")
