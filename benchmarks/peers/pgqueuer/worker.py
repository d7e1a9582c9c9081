"""The worker's process: `PgQueuer.run` until SIGTERM, with one entrypoint for each kind of job."""

from __future__ import annotations

import asyncio
import logging
import signal
from datetime import timedelta
from typing import TYPE_CHECKING

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgPoolDriver
from pgqueuer.executors import DatabaseRetryEntrypointExecutor

from benchmarks.peers.diary import Work
from benchmarks.peers.pgqueuer.peer import DEQUEUE_BATCH_SIZE

if TYPE_CHECKING:
    from pgqueuer.executors import EntrypointExecutorParameters
    from pgqueuer.models import Job


async def run(work: Work) -> None:
    """Work until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncpg.create_pool(work.database) as pool:
        queuer = PgQueuer(AsyncpgPoolDriver(pool))
        queuer.qm.shutdown = queuer.sm.shutdown = queuer.shutdown = stop
        _register(queuer, work)
        work.ready()
        await queuer.run(batch_size=DEQUEUE_BATCH_SIZE)


def _register(queuer: PgQueuer, work: Work) -> None:
    @queuer.entrypoint("noop")
    async def noop(job: Job) -> None:
        work.noop(_number(job))

    @queuer.entrypoint("io")
    async def io(job: Job) -> None:
        await work.io(_number(job))

    @queuer.entrypoint("thread")
    async def thread(job: Job) -> None:
        await asyncio.to_thread(work.thread, _number(job))

    @queuer.entrypoint("cpu")
    async def cpu(job: Job) -> None:
        await asyncio.to_thread(work.cpu, _number(job))

    @queuer.entrypoint("fail_once", executor_factory=_retrying)
    async def fail_once(job: Job) -> None:
        work.fail_once(_number(job))


def _retrying(parameters: EntrypointExecutorParameters) -> DatabaseRetryEntrypointExecutor:
    """Retry in the database, without a wait."""
    return DatabaseRetryEntrypointExecutor(parameters, initial_delay=timedelta(0))


def _number(job: Job) -> int:
    return int(job.payload or b"-1")


def main() -> None:
    """Start when the others are there."""
    logging.getLogger("pgqueuer").setLevel(logging.CRITICAL)
    work = Work()
    work.arrive()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(work))


if __name__ == "__main__":
    main()
