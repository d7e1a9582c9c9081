"""`forthwith doctor`: what is wrong, in words, and what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from forthwith.cli.documents import plain_document
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import explain
from forthwith.cli.output import print_json
from forthwith.cli.printable import lines, one_line, without_passwords
from forthwith.cli.session import any_app, at_desk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith import App
    from forthwith.cli.failure import Failure
    from forthwith.operations import Desk, Finding, TaskState

_NAMES_MAX = 5


class _Diagnosis(NamedTuple):
    findings: list[Finding]
    code: ExitCode


@click.command(epilog="Example: forthwith --app shop:app doctor || page-somebody")
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document.")
def command(*, as_json: bool) -> int:
    """Look at the database, the schema, workers, queues and tasks, and say what is wrong.

    Exits with 0 if there is nothing but notes, with 1 if there are errors or warnings, with 4 if the
    database cannot be reached, with 5 if its schema does not fit.
    """
    diagnosis = _diagnose(any_app())
    if as_json:
        found = [plain_document(finding) for finding in diagnosis.findings]
        print_json({"ok": diagnosis.code is ExitCode.OK, "findings": found})
    else:
        _print(diagnosis)
    return diagnosis.code


def _diagnose(app: App) -> _Diagnosis:
    from forthwith.errors import DatabaseUnavailable, EmbeddedUnavailable, SchemaError

    async def ask(desk: Desk) -> list[Finding]:
        return [*await desk.findings(), *_not_in_app(app, await desk.tasks())]

    try:
        findings = at_desk(app, ask)
    except (DatabaseUnavailable, EmbeddedUnavailable, SchemaError) as error:
        failure = explain(error)
        return _Diagnosis([_of_failure(failure)], failure.code)
    is_well = all(finding.severity == "note" for finding in findings)
    return _Diagnosis(findings, ExitCode.OK if is_well else ExitCode.FAILED)


def _of_failure(failure: Failure) -> Finding:
    from forthwith.operations import Finding

    told = without_passwords(failure.message.strip()).split("\n")
    what, *hints = [line for line in told if line.strip()]
    if failure.code is ExitCode.DATABASE_UNAVAILABLE:
        advice = "See that the server runs, that its address and password are right, and that it has room."
        return Finding("error", "database-unavailable", "The database cannot be used", what, advice)
    advice = hints[0] if hints else "Run `forthwith migrate`, or upgrade forthwith."
    return Finding("error", "schema-mismatch", "The schema does not fit", what, advice)


def _not_in_app(app: App, tasks: list[TaskState]) -> Iterator[Finding]:
    """Yield a note on jobs that wait for tasks which other workers know, but this app does not."""
    from forthwith.cli.settings import current_settings
    from forthwith.operations import Finding

    strange = [task for task in tasks if task.waiting and task.name not in app.tasks]
    if current_settings().app_path is None or not strange:
        return
    names = ", ".join(repr(task.name) for task in strange[:_NAMES_MAX])
    more = f" and {len(strange) - _NAMES_MAX} more" if len(strange) > _NAMES_MAX else ""
    yield Finding(
        "note",
        "not-in-app",
        "Jobs wait for tasks that this app does not have",
        f"{sum(task.waiting for task in strange):,} wait for {names}{more}.",
        "That is right if another app's workers run them. If not, look at the app's import_paths.",
    )


def _print(diagnosis: _Diagnosis) -> None:
    if not diagnosis.findings:
        click.echo("All is well.")
    for finding in diagnosis.findings:
        click.echo(f"{finding.severity}: {one_line(finding.title)} [{finding.code}]")
        for text in (finding.detail, finding.advice):
            for line in lines(text):
                click.echo(f"    {line}")
