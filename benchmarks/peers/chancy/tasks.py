"""The jobs, under names that a Chancy worker can import."""

from __future__ import annotations

from benchmarks.peers.diary import Work

work = Work()


async def noop(*, number: int) -> None:
    """Do nothing."""
    work.noop(number)


async def io(*, number: int) -> None:
    """Wait."""
    await work.io(number)


def thread(*, number: int) -> None:
    """Block, in Chancy's thread pool."""
    work.thread(number)


def cpu(*, number: int) -> None:
    """Compute, in Chancy's thread pool."""
    work.cpu(number)


async def fail_once(*, number: int) -> None:
    """Fail, and be retried without a wait (its default, without the retry plugin)."""
    work.fail_once(number)
