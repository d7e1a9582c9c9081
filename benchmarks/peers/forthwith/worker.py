"""The worker's process: `App.run_worker` with its defaults, and one task for each kind of job."""

from __future__ import annotations

import logging

import forthwith
from benchmarks.peers.diary import Work


def main() -> None:
    """Work until SIGTERM."""
    logging.getLogger("forthwith").setLevel(logging.CRITICAL)
    work = Work()
    app = forthwith.App(work.database)

    @app.task(name="noop")
    async def noop(number: int) -> None:
        work.noop(number)

    @app.task(name="io")
    async def io(number: int) -> None:
        await work.io(number)

    @app.task(name="thread")
    def thread(number: int) -> None:
        work.thread(number)

    @app.task(name="cpu")
    def cpu(number: int) -> None:
        work.cpu(number)

    @app.task(name="fail_once", retry=1)
    async def fail_once(number: int) -> None:
        work.fail_once(number)

    work.arrive()
    work.ready()
    app.run_worker(queues=["default"], concurrency=work.concurrency)


if __name__ == "__main__":
    main()
