"""streaQ's worker object, for who defers and for the worker alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from streaq import Worker

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager


def make(
    url: str,
    concurrency: int = 1,
    lifespan: AbstractAsyncContextManager[Any] | None = None,
) -> Worker[Any]:
    """A worker of the Redis at `url`, on uvloop; it is also what defers."""
    started = {} if lifespan is None else {"lifespan": lambda: lifespan}
    return Worker(
        redis_url=url,
        concurrency=concurrency,
        anyio_kwargs={"use_uvloop": True},
        **started,
    )
