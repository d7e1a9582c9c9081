"""SAQ's queue, for who defers and for the worker alike."""

from __future__ import annotations

from typing import Any

from redis import asyncio as redis
from saq.queue.redis import RedisQueue

NAME = "default"
# Attempts in all. With its default of one, a job whose worker dies is not run again.
ATTEMPTS = 3
# Finished jobs stay.
KEPT = 0


def make(url: str, operations: int) -> RedisQueue:
    """A queue in the Redis at `url`, with as many operations at once as asked for."""
    connected: Any = redis.from_url(url)
    return RedisQueue(connected, name=NAME, max_concurrent_ops=operations)
