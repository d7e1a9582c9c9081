"""What the Celery worker imports."""

from __future__ import annotations

import logging

from celery import signals

from benchmarks.peers.celery.application import RETRIES, make
from benchmarks.peers.diary import FailedOnPurposeError, Work

work = Work()
app = make(work.database)
logging.getLogger("celery").setLevel(logging.CRITICAL)

app.task(work.noop, name="noop")
app.task(work.thread, name="thread")
app.task(work.cpu, name="cpu")


@app.task(
    name="fail_once",
    autoretry_for=(FailedOnPurposeError,),
    default_retry_delay=0,
    max_retries=RETRIES,
)
def fail_once(number: int) -> None:
    """Fail, and be retried without a wait."""
    work.fail_once(number)


@signals.worker_ready.connect
def _ready(**_: object) -> None:
    work.ready()


work.arrive()
