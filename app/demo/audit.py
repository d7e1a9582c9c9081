"""Was anything lost? Both ends are asked: the receiver for its keys, the database for its jobs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Literal, NamedTuple

import psycopg
from psycopg.rows import class_row
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TASK = "app.tasks.deliver_webhook"
SHOWN_MAX = 5

Fate = Literal["delivered", "failed", "unfinished", "lost"]


class Delivery(NamedTuple):
    """What the database says about one event's job."""

    job_id: int
    event_id: str
    status: str
    retried: bool
    rescued: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """The demo's outcome in numbers of events."""

    accepted: int
    delivered: int
    retried: int
    rescued: int
    delivered_twice: int
    #: Deliveries to an endpoint that was busy with another one: the lock did not hold.
    overlaps: int
    #: Gave up after the last attempt: a failed job in the database, with its reason. Not lost.
    failed: int
    #: Still waiting or running when the demo gave up waiting: not lost, but not good either.
    unfinished: int
    #: Acknowledged, and yet the receiver or the database does not have it.
    lost: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return not self.lost and not self.unfinished and not self.overlaps


def deliveries(database_url: str) -> list[Delivery]:
    """Return what the database knows, in one statement (audit.sql)."""
    statement = resources.files("app.demo").joinpath("audit.sql").read_bytes()
    with (
        psycopg.connect(database_url) as connection,
        connection.cursor(row_factory=class_row(Delivery)) as cursor,
    ):
        return cursor.execute(statement, {"task": TASK}).fetchall()


def judge(
    accepted: Mapping[str, int],
    jobs: Iterable[Delivery],
    received: Mapping[str, int],
    overlaps: int,
) -> Verdict:
    """Compare what was acknowledged with both ends.

    `accepted` has the job id that the service gave for each event id, `received` how often the
    receiver accepted each key.
    """
    by_id = {job.job_id: job for job in jobs if accepted.get(job.event_id) == job.job_id}
    fates = {
        event_id: _fate(by_id.get(job_id), received.get(event_id, 0))
        for event_id, job_id in accepted.items()
    }
    counts = Counter(fates.values())
    return Verdict(
        accepted=len(accepted),
        delivered=counts["delivered"],
        retried=sum(job.retried for job in by_id.values()),
        rescued=sum(job.rescued for job in by_id.values()),
        delivered_twice=sum(received.get(event_id, 0) > 1 for event_id in accepted),
        overlaps=overlaps,
        failed=counts["failed"],
        unfinished=counts["unfinished"],
        lost=tuple(event_id for event_id, fate in fates.items() if fate == "lost"),
    )


def _fate(job: Delivery | None, received: int) -> Fate:
    """Return what became of an event. Only both ends together prove a delivery."""
    if job is None:
        return "lost"
    if job.status in ("todo", "doing"):
        return "unfinished"
    if job.status == "failed":
        return "failed"
    return "delivered" if job.status == "succeeded" and received else "lost"


def table(verdict: Verdict, seconds: float) -> Table:
    """Return the verdict for people."""
    rows = [
        ("accepted", verdict.accepted, "acknowledged by the service"),
        ("delivered", verdict.delivered, "the job succeeded, and the receiver has it"),
        ("retried", verdict.retried, "needed more than one attempt"),
        ("rescued", verdict.rescued, "was with the killed worker, and ran again"),
        ("delivered twice", verdict.delivered_twice, "recognised by its idempotency key"),
        ("overlapping", verdict.overlaps, "reached an endpoint that was busy"),
        ("failed", verdict.failed, "gave up after the last attempt, and says so"),
        ("unfinished", verdict.unfinished, "not done when the demo stopped waiting"),
        ("lost", len(verdict.lost), _examples(verdict.lost)),
    ]
    result = Table(title="What became of the events")
    result.add_column("events")
    result.add_column("number", justify="right")
    result.add_column("meaning")
    for name, number, meaning in rows:
        result.add_row(name, f"{number:,}", meaning)
    result.add_section()
    rate = verdict.delivered / seconds
    result.add_row("time", f"{seconds:.1f} s", f"first event sent to last one done ({rate:,.0f}/s)")
    return result


def _examples(lost: tuple[str, ...]) -> str:
    if not lost:
        return "missing at one end or the other"
    shown = ", ".join(lost[:SHOWN_MAX])
    return f"missing: {shown}{', …' if len(lost) > SHOWN_MAX else ''}"
