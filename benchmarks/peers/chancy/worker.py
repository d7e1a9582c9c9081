"""A worker of Chancy, as its documentation starts one: `python -m … KIND`."""

from __future__ import annotations

import asyncio
import logging
import sys

from chancy import Chancy, Queue, Worker

from benchmarks.peers.chancy.tasks import work

# Chancy writes outcomes when this long has passed since the last; its default of 1 s lets
# finished jobs wait for it.
OUTGOING_INTERVAL_S = 0.01
POLLING_INTERVAL_S = 1
BLOCKING = ("thread", "cpu")


async def run(kind: str) -> None:
    """Work until SIGTERM."""
    executor = Chancy.Executor.Threaded if kind in BLOCKING else Chancy.Executor.Async
    queue = Queue(
        name="default",
        concurrency=work.concurrency,
        executor=executor,
        eager_polling=True,
        polling_interval=POLLING_INTERVAL_S,
    )
    log = logging.getLogger("chancy")
    log.setLevel(logging.CRITICAL)
    async with Chancy(work.database, log=log) as app:
        await app.declare(queue, upsert=True)
        worker = Worker(app)
        worker.send_outgoing_interval = OUTGOING_INTERVAL_S
        async with worker:
            work.ready()
            await worker.wait_for_shutdown()


if __name__ == "__main__":
    work.arrive()
    asyncio.run(run(sys.argv[1]))
