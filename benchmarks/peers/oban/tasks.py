"""The jobs, as workers that an Oban queue can import."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oban import worker

from benchmarks.peers.diary import Work

if TYPE_CHECKING:
    from oban import Job

work = Work()


@worker()
class Noop:
    """Does nothing."""

    async def process(self, job: Job) -> None:
        """Run one job."""
        work.noop(job.args["number"])


@worker()
class Io:
    """Waits."""

    async def process(self, job: Job) -> None:
        """Run one job."""
        await work.io(job.args["number"])


@worker()
class Cpu:
    """Computes, on the event loop: Oban runs its jobs nowhere else."""

    async def process(self, job: Job) -> None:
        """Run one job."""
        work.cpu(job.args["number"])


@worker()
class FailOnce:
    """Fails, and is retried without a wait."""

    async def process(self, job: Job) -> None:
        """Run one job."""
        work.fail_once(job.args["number"])

    def backoff(self, _: Job) -> int:
        """Seconds until the retry; the stager looks for it."""
        return 0
