"""Celery: late acknowledgement, results kept in Redis, and the pool that suits the kind of job.

Prefork is its default pool. With jobs that are nothing, its parent process is what limits it, so
more children than two gained nothing in runs side by side; for jobs that block, threads.
"""

from __future__ import annotations

import contextlib
import json
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING

import redis

from benchmarks.peers.celery.application import make
from benchmarks.peers.command import (
    BlockingDeferrer,
    Count,
    Description,
    Kind,
    Order,
    Start,
    main,
)
from benchmarks.peers.protocol import Sizes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

CHILDREN = 2
THREADS = 100
PREFETCH_MULTIPLIER = 16

RESULTS = "celery-task-meta-*"
BATCH = 1000


class CeleryPeer:
    """See `benchmarks.peers.command.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="Celery",
            version=version("celery"),
            settings={
                "broker and results": f"Redis, redis-py {version('redis')}, kombu {version('kombu')}",
                "pool": f"prefork, {CHILDREN} children (thread jobs: up to {THREADS} threads)",
                "acknowledgement": "late, also when a child is lost",
                "prefetch multiplier": str(PREFETCH_MULTIPLIER),
                "history": "results kept (result_expires None)",
                "visibility timeout": "1 h (default): then a killed worker's jobs run again",
                "off": "events, remote control, gossip, mingle, heartbeat, rate limits",
            },
            sizes=Sizes(
                burn_down=400,
                burn_down_quick=150,
                memory_waiting=1_500,
                memory_waiting_quick=500,
                memory_drained=300,
            ),
            backend="redis",
            kinds=("noop", "thread", "cpu", "fail_once"),
            abilities=("single", "processes", "stop"),
        )

    def start(self, order: Order) -> Start:
        """One worker command; what it is asked for in processes are its children."""
        if order.kind == "thread" and not order.processes:
            pool, size = "threads", min(order.concurrency, THREADS)
        else:
            pool, size = "prefork", order.processes or CHILDREN
        return Start(
            arguments=(
                *("celery", "--quiet", "--app", "benchmarks.peers.celery.tasks", "worker"),
                *("--pool", pool, "--concurrency", str(size)),
                *("--prefetch-multiplier", str(PREFETCH_MULTIPLIER)),
                *("--without-gossip", "--without-mingle", "--without-heartbeat"),
                *("--loglevel", "CRITICAL"),
            ),
            commands=1,
            concurrency=size,
            stop_signal=signal.SIGTERM,
        )

    async def install(self, database: str) -> None:
        """Nothing: its queues come with the first job."""

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[BlockingDeferrer]:
        """Open what defers."""
        application = make(database)

        def defer(kind: Kind, number: int) -> None:
            application.send_task(kind, (number,))

        try:
            yield BlockingDeferrer(defer)
        finally:
            application.close()

    @contextlib.asynccontextmanager
    async def unfinished(self, database: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """Count what waits and what is not acknowledged."""
        with redis.Redis.from_url(database) as store:

            async def look() -> int:
                return _unfinished(store)

            yield look

    async def count(self, database: str) -> Count:
        """Count the results that say success."""
        with redis.Redis.from_url(database) as store:
            keys = list(store.scan_iter(RESULTS, count=BATCH))
            succeeded = 0
            for first in range(0, len(keys), BATCH):
                results = store.mget(keys[first : first + BATCH])
                succeeded += sum(json.loads(one)["status"] == "SUCCESS" for one in results if one)
            return Count(succeeded, _unfinished(store))


def _unfinished(store: redis.Redis) -> int:
    with store.pipeline(transaction=True) as pipeline:
        waiting, unacknowledged = pipeline.llen("celery").hlen("unacked").execute()
    return int(waiting) + int(unacknowledged)


if __name__ == "__main__":
    main(CeleryPeer())
