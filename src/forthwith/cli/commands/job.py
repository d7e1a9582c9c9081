"""`forthwith job`: all that is known of one job."""

from __future__ import annotations

import click

from forthwith.cli.discretion import show_arguments_option
from forthwith.cli.job_details import show_job
from forthwith.cli.parameters import JOB_ID


@click.command(epilog="Example: forthwith job 4711 --show-arguments")
@click.argument("job_id", metavar="ID", type=JOB_ID)
@show_arguments_option
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(job_id: int, *, show_arguments: bool, as_json: bool) -> None:
    """Show one job: what it waits for, its life, its progress, its result, its failed attempts.

    Exits with 6 if there is no job with this ID.
    """
    show_job(job_id, show_arguments=show_arguments, as_json=as_json)
