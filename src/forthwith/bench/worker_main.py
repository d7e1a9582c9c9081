"""The program of a worker process of the lab: `python -m forthwith.bench.worker_main`."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from pathlib import Path

from forthwith.bench.event import emit
from forthwith.bench.order import WorkerOrder, read_order, wait_for_go
from forthwith.bench.resources import resident_bytes, resident_bytes_max
from forthwith.bench.tally import Tally
from forthwith.bench.tasks import bench_app
from forthwith.engine.garbage import heap_set_aside
from forthwith.orphan import stop_when_supervisor_is_gone


def main() -> None:
    """Run the worker until a signal stops it, or the lab that started it is gone."""
    logging.basicConfig(level=logging.WARNING)
    # That this is the script that runs is meant: every task of the lab has a name of its own.
    logging.getLogger("forthwith.upstream").setLevel(logging.ERROR)
    order = WorkerOrder(**read_order())
    tally = Tally()
    emit("loaded")
    wait_for_go()
    stop_when_supervisor_is_gone()
    asyncio.run(_work(order, tally))
    tally.save(Path(order.tally))


async def _work(order: WorkerOrder, tally: Tally) -> None:
    app = bench_app(order.url, order.schema, tally)
    emit("began", resident_bytes=resident_bytes())
    reports = asyncio.ensure_future(_report(tally, order.report_interval_s))
    try:
        async with app.open_async():
            with heap_set_aside():  # as a worker of the command line has it
                await app.run_worker_async(**order.options, name=order.name)
    finally:
        reports.cancel()
        with suppress(asyncio.CancelledError):
            await reports
    emit("ended", count=tally.count, resident_bytes_max=resident_bytes_max())


async def _report(tally: Tally, interval_s: float | None) -> None:
    """Say how many jobs have run whenever that has changed."""
    if interval_s is None:
        return
    said = 0
    while True:
        await asyncio.sleep(interval_s)
        if tally.count != said:
            said = tally.count
            emit("ran", count=said)


if __name__ == "__main__":
    main()
