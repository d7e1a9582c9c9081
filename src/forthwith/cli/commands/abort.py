"""`forthwith abort`: ask running jobs to stop."""

from __future__ import annotations

from typing import Any

import click

from forthwith.cli.bulk import Wanted, act, which_jobs
from forthwith.cli.one_by_one import do_one_by_one


@click.command(epilog="Example: forthwith abort --where 'task=import worker=7'")
@which_jobs
def command(**wanted_: Any) -> int:
    """Ask running jobs to stop, by their IDs or all for which --where holds. The task has to respect it.

    Exits with 1 if a job does not run, with 6 if there is no such job.
    """
    wanted = Wanted(**wanted_)
    wanted.check()
    if wanted.where is not None:
        return act("abort", wanted)
    return do_one_by_one(
        wanted.unique_ids,
        lambda desk, job_id: desk.abort([job_id]),
        result="abort_requested",
        told="asked to stop",
        as_json=wanted.as_json,
    )
