"""Oban embedded in a process of its own, until SIGTERM: `python -m benchmarks.peers.oban.worker`."""

from __future__ import annotations

import asyncio
import signal

import uvloop
from oban import Oban

from benchmarks.peers.oban.tasks import work

DEBOUNCE_INTERVAL_S = 0.0
STAGER_INTERVAL_S = 0.1


async def run() -> None:
    """Work until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    queue = {"limit": work.concurrency, "debounce_interval": DEBOUNCE_INTERVAL_S}
    pool = await Oban.create_pool(work.database)
    try:
        async with Oban(
            pool=pool, queues={"default": queue}, stager={"interval": STAGER_INTERVAL_S}
        ):
            work.ready()
            await stop.wait()
    finally:
        await pool.close()


if __name__ == "__main__":
    work.arrive()
    uvloop.run(run())
