"""streaQ on Redis: results kept, uvloop, prefetching as many jobs as it runs at once."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from streaq import TaskStatus

from benchmarks.peers.command import Count, Description, Kind, Order, Start, main
from benchmarks.peers.protocol import Sizes
from benchmarks.peers.streaq.queue import make

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from streaq import Worker

CONCURRENCY = 100
RESULTS_LIMIT = 10_000_000


class StreaqDeferrer:
    """Defers with `enqueue` and `enqueue_many`."""

    def __init__(self, worker: Worker[Any]) -> None:
        self._worker = worker

    async def batch(self, kind: Kind, numbers: Sequence[int]) -> None:
        """Defer many in one pipeline."""
        await self._worker.enqueue_many([self._task(kind, number) for number in numbers])

    async def one(self, kind: Kind, number: int) -> None:
        """Defer one."""
        await self._task(kind, number)

    async def singles(self, kind: Kind, numbers: Sequence[int], callers: int) -> None:
        """Each caller is a coroutine."""
        shares = [numbers[caller::callers] for caller in range(callers)]
        await asyncio.gather(*(self._share(kind, share) for share in shares))

    async def _share(self, kind: Kind, numbers: Sequence[int]) -> None:
        for number in numbers:
            await self.one(kind, number)

    def _task(self, kind: Kind, number: int) -> Any:
        return self._worker.enqueue_unsafe(kind, number)


class StreaqPeer:
    """See `benchmarks.peers.command.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="streaQ",
            version=version("streaq"),
            settings={
                "driver": f"coredis {version('coredis')}",
                "event loop": f"uvloop {version('uvloop')}",
                "concurrency": f"{CONCURRENCY} (io jobs: as asked for)",
                "prefetch": "as many as run (default)",
                "history": "results kept (ttl None)",
                "idle timeout": "60 s (default): then a killed worker's jobs run again",
            },
            sizes=Sizes(
                burn_down=2_500,
                burn_down_quick=1_000,
                memory_waiting=15_000,
                memory_waiting_quick=5_000,
                memory_drained=1_500,
            ),
            backend="redis",
            kinds=("noop", "io", "thread", "cpu", "fail_once"),
            abilities=("batch", "single", "processes", "stop"),
        )

    def start(self, order: Order) -> Start:
        """One command for each process."""
        wanted = order.concurrency
        return Start(
            arguments=("streaq", "run", "benchmarks.peers.streaq.tasks:worker"),
            commands=order.processes or 1,
            concurrency=wanted if order.kind == "io" else min(wanted, CONCURRENCY),
            stop_signal=signal.SIGTERM,
        )

    async def install(self, database: str) -> None:
        """Load its functions into Redis, as each of its connections does."""
        async with make(database):
            pass

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[StreaqDeferrer]:
        """Open what defers."""
        async with make(database) as worker:
            yield StreaqDeferrer(worker)

    @contextlib.asynccontextmanager
    async def unfinished(self, database: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """Count its streams and its delayed queue."""
        async with make(database) as worker:
            yield worker.queue_size

    async def count(self, database: str) -> Count:
        """Count the results that say success."""
        async with make(database) as worker:
            results = await worker.get_tasks_by_status(TaskStatus.DONE, limit=RESULTS_LIMIT)
            succeeded = sum(result.success for result in results)
            return Count(succeeded, await worker.queue_size())


if __name__ == "__main__":
    main(StreaqPeer())
