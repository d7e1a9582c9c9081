"""Does something to jobs that are named by their ids, and says what became of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.cli.exit_code import ExitCode
from forthwith.cli.job_results import JobResult, not_found, report
from forthwith.cli.session import any_app, at_desk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from forthwith.operations import ActionResult, Desk

    Deed = Callable[[Desk, int], Awaitable[ActionResult]]

_GONE = "not there"


def do_one_by_one(ids: Sequence[int], deed: Deed, *, result: str, told: str, as_json: bool) -> int:
    """Do it to each of these jobs; return the exit code.

    `result` is what the JSON says of a job to which it was done, `told` is for people.
    """

    async def do_all(desk: Desk) -> list[JobResult]:
        return [await _do(desk, job_id, deed, result, told) for job_id in ids]

    return report(at_desk(any_app(), do_all), as_json=as_json)


async def _do(desk: Desk, job_id: int, deed: Deed, result: str, told: str) -> JobResult:
    outcome = await deed(desk, job_id)
    view = await desk.job(job_id)
    status = view.job.status if view is not None else None
    if outcome.done:
        return JobResult(job_id, result, ExitCode.OK, status, f"job {job_id}: {told}")
    if status is None:
        return not_found(job_id)
    reason = outcome.skipped[0].reason if outcome.skipped else "changed meanwhile"
    message = f"job {job_id}: left alone, it is {reason}"
    return JobResult(job_id, f"not_{result}", ExitCode.FAILED, status, message)
