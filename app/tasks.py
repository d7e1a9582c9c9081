"""What the relay does: deliver webhooks, fetch resources, keep its tables small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from app import http
from app.procrastinate_app import ExponentialBackoffStrategy, app
from app.settings import settings

if TYPE_CHECKING:
    from forthwith import JobContext

IDEMPOTENCY_HEADER = "Idempotency-Key"

_UPSERT = """
insert into cached_resource as cached (url, content_type, body, fetched_at, fetch_count)
values (%(url)s, %(content_type)s, %(body)s, now(), 1)
on conflict (url) do update
set content_type = excluded.content_type,
    body = excluded.body,
    fetched_at = excluded.fetched_at,
    fetch_count = cached.fetch_count + 1
"""

_PRUNE = "delete from cached_resource where fetched_at < now() - make_interval(hours => %(hours)s)"


class DeliveryError(Exception):
    """The receiver answered with something else than success: worth another try."""


class EndpointGoneError(Exception):
    """The receiver answered 410 Gone: it will never want this again."""


# EndpointGoneError is not listed, and so is never retried. A task that runs into its `timeout`
# raises a TimeoutError.
_backoff = ExponentialBackoffStrategy(
    max_attempts=settings.delivery_attempts_max,
    base_delay=settings.backoff_base_s,
    max_delay=settings.backoff_max_s,
    retry_exceptions=(httpx.HTTPError, DeliveryError, TimeoutError),
    jitter=True,
)


@app.task(queue="webhooks", retry=_backoff, timeout=4 * settings.http_timeout_s)
async def deliver_webhook(event_id: str, endpoint: str, url: str, payload: dict[str, Any]) -> None:
    """POST `payload` to `url`; any answer but 2xx is an error.

    A job runs at least once, so a receiver may see an event again: when this worker dies after
    the receiver's answer and before the job's completion. The header carries the event's id for
    the receiver to recognise it by. `endpoint` is what the jobs' lock is made of, see
    `app.events`; here it only shows up in lists of jobs.
    """
    response = await http.client(url).post(
        url, json=payload, headers={IDEMPOTENCY_HEADER: event_id}
    )
    if response.status_code == httpx.codes.GONE:
        raise EndpointGoneError(f"{endpoint}: {url} answered 410 Gone")
    if not response.is_success:
        raise DeliveryError(f"{endpoint}: {url} answered {response.status_code}")


@app.task(queue="resources", retry=_backoff, pass_context=True)
async def fetch_resource(context: JobContext, url: str) -> None:
    """Fetch `url` and cache what it returns.

    The request may be repeated, as for any job, but its effect happens exactly once. The upsert
    and the job's completion are one transaction: they are committed together or not at all. If
    this worker dies before the commit, there is no trace of its run, and the next one writes;
    after it, the job is done, and there is no next one. If it was only slow and lost its lease,
    the completion is refused, and the upsert is rolled back with it (`LeaseLost`).
    """
    response = await http.client(url).get(url)
    response.raise_for_status()
    async with context.transaction() as connection:
        await connection.execute(
            _UPSERT,
            {
                "url": url,
                "content_type": response.headers.get("content-type", ""),
                "body": response.content,
            },
        )


@app.periodic(cron="*/5 * * * *")
@app.task(queue="upkeep", queueing_lock="upkeep", pass_context=True)
async def prune_old_rows(context: JobContext, timestamp: int) -> None:  # noqa: ARG001
    """Drop finished jobs and cached resources that are older than the settings keep them.

    `timestamp` is the time that this run was due, as for every periodic task. Nothing here
    depends on it: a run that comes late deletes what is old by then.
    """
    await app.job_manager.delete_old_jobs(
        nb_hours=settings.history_hours,
        include_failed=True,
        include_cancelled=True,
        include_aborted=True,
    )
    async with context.transaction() as connection:
        await connection.execute(_PRUNE, {"hours": settings.cache_hours})
