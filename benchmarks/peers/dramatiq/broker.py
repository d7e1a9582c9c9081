"""Dramatiq's broker, for who defers and for the worker alike."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import AsyncIO
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

QUEUE = "default"
RESULTS = "results"
# It has no "forever"; a year is as good as that here.
RESULT_TTL_MS = 365 * 24 * 3600 * 1000


def make(url: str) -> RedisBroker:
    """A broker in the Redis at `url` that keeps the results there."""
    broker = RedisBroker(url=url)
    backend = RedisBackend(url=url, namespace=RESULTS, use_namespace_prefix_keys=True)
    broker.add_middleware(Results(backend=backend, store_results=True, result_ttl=RESULT_TTL_MS))
    broker.add_middleware(AsyncIO())
    dramatiq.set_broker(broker)
    return broker
