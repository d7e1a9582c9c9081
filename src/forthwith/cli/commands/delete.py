"""`forthwith delete`: forget jobs that wait or have ended."""

from __future__ import annotations

from typing import Any

import click

from forthwith.cli.bulk import Wanted, act, which_jobs
from forthwith.cli.one_by_one import do_one_by_one


@click.command(epilog="Example: forthwith delete --where 'state=succeeded task=ping' --dry-run")
@which_jobs
def command(**wanted_: Any) -> int:
    """Delete jobs that wait or have ended, with their attempts and results; nothing of them stays.

    By their IDs, or all for which --where holds. Exits with 1 if a job runs, with 6 if there is no such
    job.
    """
    wanted = Wanted(**wanted_)
    wanted.check()
    if wanted.where is not None:
        return act("delete", wanted)
    return do_one_by_one(
        wanted.unique_ids,
        lambda desk, job_id: desk.delete([job_id]),
        result="deleted",
        told="deleted",
        as_json=wanted.as_json,
    )
