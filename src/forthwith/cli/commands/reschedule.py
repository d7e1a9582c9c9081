"""`forthwith reschedule`: make jobs that wait due at another time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.bulk import Wanted, act, which_jobs
from forthwith.cli.one_by_one import do_one_by_one
from forthwith.cli.output import as_text
from forthwith.cli.parameters import due_time, moment, wait_s

if TYPE_CHECKING:
    from datetime import datetime


@click.command(epilog="Example: forthwith reschedule --in 2h --where 'queue=mail state=ready'")
@which_jobs
@click.option("--at", metavar="TIME", type=moment, help="When: ISO 8601 with an offset from UTC.")
@click.option("--in", "in_s", metavar="WAIT", type=wait_s, help="When: 90, 90s, 5m, 2h or 1d.")
def command(*, at: datetime | None, in_s: float | None, **wanted_: Any) -> int:
    """Make jobs that wait due --at a time or --in a while.

    By their IDs, or all for which --where holds. Exits with 1 if a job does not wait, with 6 if there is no
    such job.
    """
    wanted = Wanted(**wanted_)
    wanted.check()
    due_at = due_time(at, in_s)
    if due_at is None:
        raise click.UsageError("say when: --at TIME or --in WAIT")
    if wanted.where is not None:
        return act("reschedule", wanted, at=due_at)
    return do_one_by_one(
        wanted.unique_ids,
        lambda desk, job_id: desk.reschedule([job_id], due_at),
        result="rescheduled",
        told=f"due at {as_text(due_at)} UTC",
        as_json=wanted.as_json,
    )
