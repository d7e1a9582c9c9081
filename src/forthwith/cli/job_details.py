"""All that is known of one job, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.discretion import discreet
from forthwith.cli.documents import attempt_document, listed_job_document, plain_document
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.failure import CommandFailed
from forthwith.cli.output import as_text, compact_json, print_block, print_fields, print_json
from forthwith.cli.printable import one_line, without_passwords
from forthwith.cli.session import any_app, at_desk

if TYPE_CHECKING:
    from forthwith.job import FailedAttempt
    from forthwith.operations import Desk, JobView, Progress


def show_job(job_id: int, *, show_arguments: bool, as_json: bool) -> None:
    """Write what is known of a job. Raises CommandFailed with JOB_NOT_FOUND."""

    async def ask(desk: Desk) -> JobView | None:
        return await desk.job(job_id)

    view = at_desk(any_app(), ask)
    if view is None:
        raise CommandFailed(ExitCode.JOB_NOT_FOUND, f"there is no job {job_id}")
    if as_json:
        print_json(_document(view, show=show_arguments))
    else:
        _print(view, show=show_arguments)


def _document(view: JobView, *, show: bool) -> dict[str, Any]:
    return {
        **listed_job_document(view.job, discreet(view.args, show=show)),
        "failed_attempts": [
            _without_passwords(attempt_document(attempt), show=show) for attempt in view.attempts
        ],
        "crashes_max": view.crashes_max,
        "waits_for": view.waits_for,
        "timeline": [
            _without_passwords(plain_document(event), show=show) for event in view.timeline
        ],
        "progress": plain_document(view.progress) if view.progress else None,
        "result": _result_document(view, show=show),
        "traceparent": view.traceparent,
    }


def _without_passwords(document: dict[str, Any], *, show: bool) -> dict[str, Any]:
    """Return a document whose texts hold no passwords of database URLs, unless to `show` them."""
    if show:
        return document
    return {
        key: without_passwords(value) if isinstance(value, str) else value
        for key, value in document.items()
    }


def _result_document(view: JobView, *, show: bool) -> dict[str, Any] | None:
    if view.result is None:
        return None
    value = discreet(view.result.value, show=show)
    return {"value": value, "expires_at": view.result.expires_at}


def _print(view: JobView, *, show: bool) -> None:
    print_fields(_fields(view, show=show))
    _print_section("waits for", view.waits_for)
    life = [f"{as_text(event.at)}  {event.text}" for event in view.timeline]
    _print_section("life (UTC)", life if show else list(map(without_passwords, life)))
    for attempt in view.attempts:
        _print_attempt(attempt, show=show)


def _fields(view: JobView, *, show: bool) -> list[tuple[str, object]]:
    job = view.job
    fields: list[tuple[str, object]] = [
        ("job", job.id),
        ("status", job.status if job.status != "todo" else f"todo ({job.state})"),
        ("queue", job.queue),
        ("task", job.task),
        ("arguments", compact_json(discreet(view.args, show=show))),
        ("priority", job.priority),
        ("lock", job.lock),
        ("queueing lock", job.queueing_lock),
        ("attempts", job.attempts),
        ("crashes", f"{job.crashes} of {view.crashes_max}" if job.crashes else 0),
        ("worker", job.worker_id),
        ("abort requested", job.abort_requested),
        ("deferred (UTC)", job.deferred_at),
        ("scheduled (UTC)", job.scheduled_at),
        ("started (UTC)", job.started_at),
        ("finished (UTC)", job.finished_at),
    ]
    if view.progress is not None:
        fields.append(("progress", _progress(view.progress)))
    if view.result is not None:
        fields.append(("result", compact_json(discreet(view.result.value, show=show))))
    if view.traceparent is not None:
        fields.append(("trace", view.traceparent))
    return fields


def _progress(progress: Progress) -> str:
    total = f" of {progress.total:g}" if progress.total is not None else ""
    note = f": {progress.note}" if progress.note else ""
    return f"{progress.done:g}{total}{note} (at {as_text(progress.at)} UTC)"


def _print_section(title: str, shown: list[str]) -> None:
    if not shown:
        return
    click.echo(f"\n{title}")
    for line in shown:
        click.echo(f"    {one_line(line)}")


def _print_attempt(attempt: FailedAttempt, *, show: bool) -> None:
    told = _without_passwords(attempt_document(attempt), show=show)
    error = ": ".join(part for part in (told["exception_type"], told["message"]) if part)
    click.echo()
    print_fields(
        [
            (f"attempt {attempt.attempt}", attempt.kind),
            ("at (UTC)", attempt.at),
            ("worker", attempt.worker_id),
            ("error", error or None),
        ]
    )
    if told["traceback"]:
        print_block(told["traceback"])
