"""What `cancel` and `retry` say about each of their jobs, and the exit code that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from forthwith.cli.exit_code import ExitCode
from forthwith.cli.output import print_json
from forthwith.cli.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence


class JobResult(NamedTuple):
    """What became of one job. `status` is the job's afterwards, None where it is gone."""

    id: int
    result: str
    code: ExitCode
    status: str | None
    message: str


def not_found(job_id: int) -> JobResult:
    """Return the result for a job that does not exist."""
    message = f"job {job_id}: not found"
    return JobResult(job_id, "not_found", ExitCode.JOB_NOT_FOUND, None, message)


def report(results: Sequence[JobResult], *, as_json: bool) -> int:
    """Write the results and return the command's exit code.

    Successes go to stdout, failures to stderr; as JSON all of them go to stdout in one document.
    """
    if as_json:
        print_json({"results": [_document(result) for result in results]})
    else:
        for result in results:
            click.echo(one_line(result.message), err=result.code is not ExitCode.OK)
    return exit_code(results)


def exit_code(results: Sequence[JobResult]) -> ExitCode:
    """Return OK if all went well, JOB_NOT_FOUND if that is all that went wrong, else FAILED."""
    codes = {result.code for result in results} - {ExitCode.OK}
    if len(codes) > 1:
        return ExitCode.FAILED
    return codes.pop() if codes else ExitCode.OK


def _document(result: JobResult) -> dict[str, object]:
    return {"id": result.id, "result": result.result, "status": result.status}
