"""What the Dramatiq worker imports."""

from __future__ import annotations

import logging

import dramatiq
from dramatiq import Middleware

from benchmarks.peers.diary import Work
from benchmarks.peers.dramatiq.broker import make

# Its shortest wait before a retry, in milliseconds.
BACKOFF_MS = 1
RETRIES = 3

work = Work()
broker = make(work.database)
logging.getLogger("dramatiq").setLevel(logging.CRITICAL + 1)


class _Ready(Middleware):
    def after_worker_boot(self, broker: object, worker: object) -> None:  # noqa: ARG002
        work.ready()


broker.add_middleware(_Ready())
for kind in ("noop", "io", "thread", "cpu"):
    dramatiq.actor(getattr(work, kind), actor_name=kind)
dramatiq.actor(
    work.fail_once,
    actor_name="fail_once",
    max_retries=RETRIES,
    min_backoff=BACKOFF_MS,
    max_backoff=BACKOFF_MS,
)
work.arrive()
