"""SAQ on Redis: several attempts, finished jobs kept, one process with as many jobs as asked for."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING

from saq.job import Status

from benchmarks.peers.command import Count, Description, Kind, Order, Start, main
from benchmarks.peers.protocol import Sizes
from benchmarks.peers.saq.queue import ATTEMPTS, KEPT, make

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from saq.queue.redis import RedisQueue

CONCURRENCY = 50
OPERATIONS = 100
BATCH = 1000


class SaqDeferrer:
    """Defers with `enqueue`; many at once, as it has no call for many."""

    def __init__(self, queue: RedisQueue) -> None:
        self._queue = queue

    async def batch(self, kind: Kind, numbers: Sequence[int]) -> None:
        """All at once, as far as its limit of concurrent operations goes."""
        await asyncio.gather(*(self.one(kind, number) for number in numbers))

    async def one(self, kind: Kind, number: int) -> None:
        """Defer one."""
        await self._queue.enqueue(kind, number=number, retries=ATTEMPTS, ttl=KEPT)

    async def singles(self, kind: Kind, numbers: Sequence[int], callers: int) -> None:
        """Each caller is a coroutine."""
        shares = [numbers[caller::callers] for caller in range(callers)]
        await asyncio.gather(*(self._share(kind, share) for share in shares))

    async def _share(self, kind: Kind, numbers: Sequence[int]) -> None:
        for number in numbers:
            await self.one(kind, number)


class SaqPeer:
    """See `benchmarks.peers.command.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="SAQ",
            version=version("saq"),
            settings={
                "driver": f"redis-py {version('redis')}, hiredis {version('hiredis')}",
                "event loop": "asyncio",
                "concurrency": f"{CONCURRENCY} (io jobs: as asked for)",
                "concurrent operations": f"{OPERATIONS} of who defers, the worker's concurrency",
                "attempts": f"{ATTEMPTS} (with its default of 1 a dead worker's jobs are lost)",
                "history": "finished jobs kept (ttl 0)",
                "sweep": "60 s (default); once before the worker starts, as it doubles busy jobs",
            },
            sizes=Sizes(
                burn_down=4_000,
                burn_down_quick=1_500,
                memory_waiting=15_000,
                memory_waiting_quick=5_000,
                memory_drained=2_000,
            ),
            backend="redis",
            kinds=("noop", "io", "thread", "cpu", "fail_once"),
            abilities=("single", "processes", "stop"),
        )

    def start(self, order: Order) -> Start:
        """One command for each process."""
        wanted = order.concurrency
        concurrency = wanted if order.kind == "io" else min(wanted, CONCURRENCY)
        return Start(
            arguments=("saq", "benchmarks.peers.saq.tasks.settings", "--quiet"),
            commands=order.processes or 1,
            concurrency=concurrency,
            stop_signal=signal.SIGTERM,
        )

    async def install(self, database: str) -> None:
        """Nothing: its queue comes with the first job."""

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[SaqDeferrer]:
        """Open what defers."""
        async with _opened(database) as queue:
            yield SaqDeferrer(queue)

    @contextlib.asynccontextmanager
    async def unfinished(self, database: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """Count what its queue calls incomplete."""
        async with _opened(database) as queue:

            async def look() -> int:
                return await queue.count("incomplete")

            yield look

    async def count(self, database: str) -> Count:
        """Count the jobs that say complete."""
        async with _opened(database) as queue:
            succeeded = 0
            async for _ in queue.iter_jobs([Status.COMPLETE], batch_size=BATCH):
                succeeded += 1
            return Count(succeeded, await queue.count("incomplete"))


@contextlib.asynccontextmanager
async def _opened(database: str) -> AsyncIterator[RedisQueue]:
    queue = make(database, OPERATIONS)
    try:
        yield queue
    finally:
        await queue.disconnect()


if __name__ == "__main__":
    main(SaqPeer())
