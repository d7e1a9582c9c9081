"""`forthwith resume`: let workers start jobs of a paused queue again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from forthwith.cli.completion import complete_queue
from forthwith.cli.output import print_json
from forthwith.cli.printable import one_line
from forthwith.cli.session import any_app, in_open_app

if TYPE_CHECKING:
    from forthwith import App


@click.command()
@click.argument(
    "queues", metavar="QUEUE...", nargs=-1, required=True, shell_complete=complete_queue
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(queues: tuple[str, ...], *, as_json: bool) -> None:
    """Let workers start jobs of these queues again, at once."""

    async def resume_all(app: App) -> dict[str, bool]:
        return {queue: await app.resume_queue_async(queue) for queue in queues}

    changed = in_open_app(any_app(), resume_all)
    if as_json:
        told = [{"name": name, "paused": False, "changed": was} for name, was in changed.items()]
        print_json({"queues": told})
        return
    for name, was in changed.items():
        click.echo(f"{one_line(name)}: {'resumed' if was else 'was not paused'}")
