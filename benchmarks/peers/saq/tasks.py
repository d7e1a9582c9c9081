"""What the SAQ worker imports."""

from __future__ import annotations

import logging
from typing import Any

from benchmarks.peers.diary import Work
from benchmarks.peers.saq.queue import make

Context = dict[str, Any]

work = Work()
queue = make(work.database, work.concurrency)
logging.getLogger("saq").setLevel(logging.CRITICAL + 1)


async def noop(_: Context, *, number: int) -> None:
    """Do nothing."""
    work.noop(number)


async def io(_: Context, *, number: int) -> None:
    """Wait."""
    await work.io(number)


def thread(_: Context, *, number: int) -> None:
    """Block, in SAQ's thread pool."""
    work.thread(number)


def cpu(_: Context, *, number: int) -> None:
    """Compute, in SAQ's thread pool."""
    work.cpu(number)


async def fail_once(_: Context, *, number: int) -> None:
    """Fail, and be retried without a wait (its default)."""
    work.fail_once(number)


async def startup(_: Context) -> None:
    """Sweep while nothing runs here, so that the worker's own first sweep has nothing to do.

    A sweep takes a job that was claimed but not yet marked as running for a stuck one, and runs it
    a second time; under load the worker's first sweep does that to some jobs.
    """
    await queue.sweep()
    work.ready()


settings = {
    "queue": queue,
    "functions": [noop, io, thread, cpu, fail_once],
    "concurrency": work.concurrency,
    "startup": startup,
}
work.arrive()
