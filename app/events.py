"""Events on their way in: an event is accepted once its delivery is a job in the database."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, HttpUrl

from app.procrastinate_app import app
from app.tasks import deliver_webhook
from forthwith.errors import AlreadyEnqueued

if TYPE_CHECKING:
    from collections.abc import Sequence

    from procrastinate.jobs import Job

Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w.:-]+$")]


class Event(BaseModel):
    """Something that happened, to be told to one endpoint.

    `id` is the idempotency key that the receiver sees; without one the relay makes it up.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Name = Field(default_factory=lambda: str(uuid.uuid4()))
    endpoint: Name
    url: HttpUrl
    payload: dict[str, Any] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of an event.

    `duplicate` means that the same event is waiting for its delivery already: it will be delivered,
    and this call has added nothing. It has no job of its own.
    """

    event_id: str
    status: Literal["accepted", "duplicate"]
    job_id: int | None = None


def delivery(event: Event) -> Job:
    """Return the job that delivers `event`.

    Its lock makes the deliveries to one endpoint run one at a time, in the order in which they were
    accepted; one that waits for a retry lets the others go first. Its queueing lock keeps an event
    from waiting twice.
    """
    deferrer = deliver_webhook.configure(
        lock=f"endpoint:{event.endpoint}", queueing_lock=f"event:{event.id}"
    )
    return deferrer.make_new_job(
        event_id=event.id, endpoint=event.endpoint, url=str(event.url), payload=event.payload
    )


async def accept(events: Sequence[Event]) -> list[Receipt]:
    """Defer the events' deliveries and return their receipts, in the events' order.

    A batch is one statement and all or nothing, and a duplicate refuses the whole of it. Then the
    two halves are tried in turn: the order stays, and a few duplicates cost a few statements.
    """
    if not events:
        return []
    try:
        jobs = await app.job_manager.batch_defer_jobs_async([delivery(event) for event in events])
    except AlreadyEnqueued:
        if len(events) == 1:
            return [Receipt(events[0].id, "duplicate")]
        middle = len(events) // 2
        return await accept(events[:middle]) + await accept(events[middle:])
    return [Receipt(event.id, "accepted", job.id) for event, job in zip(events, jobs, strict=True)]
