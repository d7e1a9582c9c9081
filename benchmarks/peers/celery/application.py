"""The Celery application, for who defers and for the worker alike."""

from __future__ import annotations

import celery

RETRIES = 3


def make(url: str) -> celery.Celery:
    """An application whose broker and results are in the Redis at `url`."""
    application = celery.Celery("bench", broker=url, backend=url)
    application.conf.update(
        # A job is acknowledged when it is done, so that it outlives its worker.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        result_expires=None,
        # What a worker need not do for its jobs: gossip, remote control, rate limits.
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_disable_rate_limits=True,
        broker_connection_retry_on_startup=True,
    )
    return application
