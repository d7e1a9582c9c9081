"""The tables of the screen: queues, workers, what is failing. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forthwith.cli.columns import Column
from forthwith.cli.commands.workers import lease_in_words
from forthwith.cli.output import age_of, at_least
from forthwith.cli.printable import without_passwords
from forthwith.cli.top.sparkline import sparkline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forthwith.cli.top.view import View
    from forthwith.operations import ErrorGroup, Overview, QueueState, WorkerState

WIDE_FROM = 90
"""Narrower screens leave out what can be missed."""
BARS = 20


class Row(NamedTuple):
    """A line of a table, and the style that makes trouble stand out."""

    values: tuple[object, ...]
    style: str = ""


class Section(NamedTuple):
    """A table with a line of titles."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    empty: str


def queues_section(view: View, width: int) -> Section:
    """Return the queues: those with most to do first."""
    assert view.overview is not None
    is_wide = width >= WIDE_FROM
    columns = [
        Column("queue", wide=True),
        Column("due", number=True),
        Column("running", number=True),
        Column("later", number=True),
        Column("failed 1h", number=True),
        Column("oldest", number=True),
        Column("a minute", number=True),
    ]
    if is_wide:
        columns += [
            Column("blocked", number=True),
            Column("workers", number=True),
            Column("30 min"),
        ]
    queues = sorted(view.overview.queues, key=_most_to_do)
    rows = [_queue_row(queue, view, is_wide=is_wide) for queue in queues]
    return Section(columns, rows, "No queues.")


def workers_section(overview: Overview, width: int) -> Section:
    """Return the workers, oldest first."""
    is_wide = width >= WIDE_FROM
    columns = [
        Column("worker", wide=True),
        Column("host", wide=True),
        Column("pid", number=True),
        Column("runs", number=True),
        Column("lease"),
    ]
    if is_wide:
        columns += [Column("queues", wide=True), Column("up")]
    rows = [_worker_row(worker, is_wide=is_wide) for worker in overview.workers]
    return Section(columns, rows, "No workers.")


def errors_section(overview: Overview) -> Section:
    """Return what has failed within the hour, the most frequent first."""
    columns = [
        Column("failing", wide=True),
        Column("error", wide=True),
        Column("1h", number=True),
        Column("last"),
        Column("job", number=True),
        Column("message", wide=True),
    ]
    rows = [_error_row(group) for group in overview.errors]
    return Section(columns, rows, "Nothing has failed within the hour.")


def _most_to_do(queue: QueueState) -> tuple[int, str]:
    return (-(queue.ready + queue.running), queue.name)


def _queue_row(queue: QueueState, view: View, *, is_wide: bool) -> Row:
    is_paused = queue.paused_at is not None
    values: list[object] = [
        f"{queue.name} (paused)" if is_paused else queue.name,
        at_least(queue.ready, is_exact=queue.is_exact),
        queue.running,
        queue.scheduled,
        queue.failed_last_hour,
        age_of(queue.oldest_waiting_at),
        f"{queue.ended_per_minute:.3g}",
    ]
    if is_wide:
        bars = sparkline(view.ended.get(queue.name, ()), BARS)
        values += [queue.blocked, queue.listeners, bars]
    is_stuck = bool(queue.ready) and not queue.listeners
    return Row(tuple(values), "yellow" if is_paused else "red" if is_stuck else "")


def _worker_row(worker: WorkerState, *, is_wide: bool) -> Row:
    runs = "?" if worker.running is None else worker.running
    values: list[object] = [
        f"{worker.name} ({worker.id})",
        worker.host,
        worker.pid,
        f"{runs}/{worker.concurrency}",
        lease_in_words(worker),
    ]
    if is_wide:
        values += ["all" if worker.queues is None else worker.queues, age_of(worker.started_at)]
    return Row(tuple(values), "red" if worker.is_silent else "")


def _error_row(group: ErrorGroup) -> Row:
    values = (
        group.task,
        group.exception_type or group.kind,
        at_least(group.count, is_exact=group.is_exact),
        f"{age_of(group.last_at)} ago",
        group.last_job_id,
        without_passwords(group.message or ""),
    )
    return Row(values)
