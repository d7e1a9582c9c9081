"""What the streaQ worker imports."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from streaq import StreaqRetry

from benchmarks.peers.diary import FailedOnPurposeError, Work
from benchmarks.peers.streaq.queue import make

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

work = Work()


@contextlib.asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    """Its hook before the first job."""
    work.ready()
    yield


worker = make(work.database, work.concurrency, lifespan())
# Its command line sets the level of the logger after this import; a filter stays.
logging.getLogger("streaq").addFilter(lambda _: False)


@worker.task(name="noop", ttl=None, silent=True)
async def noop(number: int) -> None:
    """Do nothing."""
    work.noop(number)


@worker.task(name="io", ttl=None, silent=True)
async def io(number: int) -> None:
    """Wait."""
    await work.io(number)


@worker.task(name="thread", ttl=None, silent=True)
def thread(number: int) -> None:
    """Block, in a thread."""
    work.thread(number)


@worker.task(name="cpu", ttl=None, silent=True)
def cpu(number: int) -> None:
    """Compute, in a thread."""
    work.cpu(number)


@worker.task(name="fail_once", ttl=None, silent=True)
async def fail_once(number: int) -> None:
    """Fail, and ask for a retry without a wait: it retries nothing by itself."""
    try:
        work.fail_once(number)
    except FailedOnPurposeError as error:
        raise StreaqRetry(delay=0) from error


work.arrive()
