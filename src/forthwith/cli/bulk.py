"""`--where`: what `retry`, `cancel`, `abort`, `reschedule` and `delete` do to all jobs of a filter."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from forthwith.cli.columns import Column
from forthwith.cli.documents import plain_document
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import CommandFailed, explain
from forthwith.cli.output import print_json, print_table
from forthwith.cli.parameters import JOB_ID
from forthwith.cli.session import any_app, at_desk
from forthwith.cli.sweep import Sweep, Swept
from forthwith.cli.where import KEYS, where

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith.operations import Action, Desk, JobFilter, JobSummary, Preview

F = TypeVar("F", bound="Callable[..., Any]")

_PAST = {
    "retry": "retried",
    "cancel": "cancelled",
    "abort": "asked to stop",
    "reschedule": "rescheduled",
    "delete": "deleted",
}
_COLUMNS = (
    Column("id", number=True),
    Column("state"),
    Column("queue", wide=True),
    Column("task", wide=True),
    Column("deferred (UTC)"),
)


_LOOKS = 5
_MANY = 1000


class Wanted(NamedTuple):
    """Which jobs were named, and how sure the user is."""

    ids: tuple[int, ...]
    where: JobFilter | None
    yes: bool
    dry_run: bool
    as_json: bool

    @property
    def unique_ids(self) -> list[int]:
        """The ids that were given, each once."""
        return list(dict.fromkeys(self.ids))

    def check(self) -> None:
        """Raise a usage error unless the jobs are named in exactly one way."""
        if self.where is None:
            self._check_ids()
        elif self.ids:
            raise click.UsageError("ids and --where exclude each other")
        elif self.as_json and not (self.yes or self.dry_run):
            raise click.UsageError("--where with --json asks nothing: pass --yes or --dry-run")
        elif not (self.yes or self.dry_run or sys.stdin.isatty()):
            raise click.UsageError(
                "nobody can be asked, as this is no terminal: pass --yes or --dry-run"
            )

    def _check_ids(self) -> None:
        if not self.ids:
            raise click.UsageError("name the jobs: by their ids, or by --where")
        if self.yes or self.dry_run:
            raise click.UsageError(f"--{'yes' if self.yes else 'dry-run'} is for --where alone")


def which_jobs(command: F) -> F:
    """Add to a command what names jobs: ids or --where, --yes, --dry-run and --json."""
    options = (
        click.argument("ids", metavar="[ID]...", nargs=-1, type=JOB_ID),
        click.option(
            "--where",
            metavar="CONDITIONS",
            type=where,
            help=f"All jobs for which these hold, such as 'queue=mail ended=1h'. Keys: {', '.join(KEYS)}.",
        ),
        click.option("--yes", is_flag=True, help="With --where: do it without asking."),
        click.option(
            "--dry-run", is_flag=True, help="With --where: say what it would touch, no more."
        ),
        click.option("--json", "as_json", is_flag=True, help="Write one JSON document."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def act(action: Action, wanted: Wanted, **changed: Any) -> int:
    """Show what it would touch, ask, and do it; return the exit code. `changed` are fields of `Changes`."""
    from forthwith.operations import Changes

    changes = Changes(**changed)
    changes.check(action)
    assert wanted.where is not None, "or there would be ids"
    preview = _preview(action, wanted.where)
    if not wanted.as_json:
        _print_preview(preview)
    if wanted.dry_run:
        if wanted.as_json:
            print_json(_preview_document(preview))
        return ExitCode.OK
    if _is_nothing(preview):
        swept = Swept()
    else:
        if not wanted.yes:
            _ask(preview)
        limit = preview.count if preview.is_exact else None
        swept = at_desk(any_app(), Sweep(action, wanted.where, changes, limit).run)
    return _report(preview, swept, as_json=wanted.as_json)


def jobs_in_words(count: int) -> str:
    """Return so many jobs, in words."""
    return f"{count:,} job{'' if count == 1 else 's'}"


def _preview(action: Action, filter: JobFilter) -> Preview:  # noqa: A002
    async def ask(desk: Desk) -> Preview:
        # The desk has no patience, for pages cannot wait: a busy server may need a few attempts.
        for _ in range(_LOOKS - 1):
            preview = await desk.preview(action, filter)
            if preview.is_exact or preview.count > _MANY:
                return preview
        return await desk.preview(action, filter)

    return at_desk(any_app(), ask)


def _is_nothing(preview: Preview) -> bool:
    return preview.count == 0 and preview.is_exact


def _print_preview(preview: Preview) -> None:
    least = "" if preview.is_exact else "at least "
    click.echo(f"{preview.action}: {least}{jobs_in_words(preview.count)}")
    if preview.sample:
        print_table(_COLUMNS, map(_row, preview.sample), "")
        if preview.count > len(preview.sample):
            click.echo("…")
    for skipped in preview.skipped:
        click.echo(f"left alone: {jobs_in_words(skipped.count)} ({skipped.reason})")


def _row(job: JobSummary) -> tuple[object, ...]:
    return (job.id, job.state, job.queue, job.task, job.deferred_at)


def _ask(preview: Preview) -> None:
    least = "" if preview.is_exact else "at least "
    question = f"{preview.action.capitalize()} {least}{jobs_in_words(preview.count)}?"
    if not click.confirm(question, err=True):
        raise CommandFailed(ExitCode.FAILED, "nothing was done")


def _report(preview: Preview, swept: Swept, *, as_json: bool) -> int:
    if as_json:
        print_json({**_preview_document(preview), **_swept_document(swept)})
    else:
        _print_swept(preview, swept)
    if swept.error is not None:
        failure = explain(swept.error)
        raise CommandFailed(failure.code, f"stopped early: {failure.message}")
    return ExitCode.INTERRUPTED if swept.interrupted else ExitCode.OK


def _print_swept(preview: Preview, swept: Swept) -> None:
    how = "interrupted: " if swept.interrupted else ""
    known = preview.is_exact and not swept.is_complete
    of_all = f" of {preview.count:,}" if known and swept.done < preview.count else ""
    click.echo(f"{how}{jobs_in_words(swept.done)}{of_all} {_PAST[preview.action]}")
    for reason, count in swept.skipped.most_common():
        click.echo(f"left alone: {jobs_in_words(count)} ({reason})")
    if not swept.is_complete and not swept.interrupted and swept.error is None:
        click.echo("More have come meanwhile; they were left alone.")


def _preview_document(preview: Preview) -> dict[str, Any]:
    return {
        "action": preview.action,
        "count": preview.count,
        "is_exact": preview.is_exact,
        "sample": [job.id for job in preview.sample],
        "would_skip": [plain_document(skipped) for skipped in preview.skipped],
    }


def _swept_document(swept: Swept) -> dict[str, Any]:
    return {
        "done": swept.done,
        "is_complete": swept.is_complete,
        "skipped": [{"count": n, "reason": why} for why, n in swept.skipped.most_common()],
    }
