"""Dramatiq: the Redis broker, results kept in Redis, one process with several threads.

Its threads wait for Redis to sync each acknowledgement and each result, so that more of them help
until the interpreter is busy.
"""

from __future__ import annotations

import contextlib
import json
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING

import dramatiq
import redis

from benchmarks.peers.command import (
    BlockingDeferrer,
    Count,
    Description,
    Kind,
    Order,
    Start,
    main,
)
from benchmarks.peers.dramatiq.broker import QUEUE, RESULTS, make
from benchmarks.peers.protocol import Sizes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

THREADS = 16
# An async actor holds a thread while it waits, so these get more.
WAITING_THREADS = 100
BATCH = 1000


class DramatiqPeer:
    """See `benchmarks.peers.command.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="Dramatiq",
            version=version("dramatiq"),
            settings={
                "broker and results": f"Redis, redis-py {version('redis')}",
                "worker": f"{THREADS} threads a process (jobs that wait: up to {WAITING_THREADS})",
                "acknowledgement": "when done (default)",
                "prefetch": "twice the threads (default)",
                "history": "results kept for a year",
                "heartbeat timeout": "60 s (default): then a killed worker's jobs run again",
            },
            sizes=Sizes(
                burn_down=1_500,
                burn_down_quick=600,
                memory_waiting=4_000,
                memory_waiting_quick=1_500,
                memory_drained=1_000,
            ),
            backend="redis",
            kinds=("noop", "io", "thread", "cpu", "fail_once"),
            abilities=("single", "processes", "stop"),
        )

    def start(self, order: Order) -> Start:
        """One command for each process."""
        waits = order.kind in ("io", "thread")
        threads = min(order.concurrency, WAITING_THREADS if waits else THREADS)
        return Start(
            arguments=(
                *("dramatiq", "benchmarks.peers.dramatiq.tasks"),
                *("--processes", "1", "--threads", str(threads)),
            ),
            commands=order.processes or 1,
            concurrency=threads,
            stop_signal=signal.SIGTERM,
        )

    async def install(self, database: str) -> None:
        """Nothing: its queues come with the first job."""

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[BlockingDeferrer]:
        """Open what defers."""
        broker = make(database)

        def defer(kind: Kind, number: int) -> None:
            broker.enqueue(
                dramatiq.Message(
                    queue_name=QUEUE, actor_name=kind, args=(number,), kwargs={}, options={}
                )
            )

        try:
            yield BlockingDeferrer(defer)
        finally:
            broker.close()

    @contextlib.asynccontextmanager
    async def unfinished(self, database: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """Count the messages that its broker holds: what is acknowledged is gone."""
        with redis.Redis.from_url(database) as store:

            async def look() -> int:
                return _unfinished(store)

            yield look

    async def count(self, database: str) -> Count:
        """Count the results that are no exception."""
        with redis.Redis.from_url(database) as store:
            keys = list(store.scan_iter(f"{RESULTS}:*", count=BATCH))
            succeeded = 0
            for first in range(0, len(keys), BATCH):
                with store.pipeline(transaction=False) as pipeline:
                    for key in keys[first : first + BATCH]:
                        pipeline.lindex(key, 0)
                    succeeded += sum(_is_success(one) for one in pipeline.execute())
            return Count(succeeded, _unfinished(store))


def _is_success(result: bytes | None) -> bool:
    """Whether it is what our actors return, and not the exception that its retries ended with."""
    return result is not None and json.loads(result) is None


def _unfinished(store: redis.Redis) -> int:
    with store.pipeline(transaction=True) as pipeline:
        now, later = (
            pipeline.hlen(f"dramatiq:{QUEUE}.msgs").hlen(f"dramatiq:{QUEUE}.DQ.msgs").execute()
        )
    return int(now) + int(later)


if __name__ == "__main__":
    main(DramatiqPeer())
