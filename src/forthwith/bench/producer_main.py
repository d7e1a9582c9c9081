"""The program of a producer of the lab: `python -m forthwith.bench.producer_main`.

It says `began` when its app is open, `deferred` with the number of jobs so far, and `ended`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from forthwith.bench.event import emit
from forthwith.bench.order import ProducerOrder, read_order, wait_for_go
from forthwith.bench.tally import Tally
from forthwith.bench.tasks import bench_app
from forthwith.orphan import stop_when_supervisor_is_gone

if TYPE_CHECKING:
    from collections.abc import Iterator

    import forthwith

REPORT_INTERVAL_S = 0.05
PACE_S = 0.005
"""How often a paced producer defers."""


def main() -> None:
    """Defer what the order says, and leave."""
    logging.basicConfig(level=logging.WARNING)
    # That this is the script that runs is meant: every task of the lab has a name of its own.
    logging.getLogger("forthwith.upstream").setLevel(logging.ERROR)
    order = ProducerOrder(**read_order())
    emit("loaded")
    wait_for_go()
    stop_when_supervisor_is_gone()
    asyncio.run(_produce(order))


async def _produce(order: ProducerOrder) -> None:
    app = bench_app(order.url, order.schema, Tally())
    async with app.open_async():
        producer = Producer(app, order)
        await producer.warm_up()
        emit("began")
        reports = asyncio.ensure_future(producer.report())
        began_s = time.monotonic()
        try:
            await producer.run()
        finally:
            reports.cancel()
            with suppress(asyncio.CancelledError):
                await reports
        emit("ended", deferred=producer.deferred, elapsed_s=time.monotonic() - began_s)


class Producer:
    """Defers jobs in one of the modes. A job counts once the call that deferred it has returned."""

    def __init__(self, app: forthwith.App, order: ProducerOrder) -> None:
        self.deferred = 0
        self._app = app
        self._order = order
        self._task = app.tasks[order.task]
        self._is_timed = order.task == "timed"
        last = None if order.jobs is None else order.first + order.jobs
        numbers = itertools.count(order.first) if last is None else range(order.first, last)
        self._numbers: Iterator[int] = iter(numbers)
        self._until_s = float("inf")
        self._connections: list[psycopg.AsyncConnection[Any]] = []

    async def warm_up(self) -> None:
        """Have the connections and plans ready that every long-lived process has."""
        await self._app.job_manager.list_jobs_async(id=0)
        if self._order.mode == "transaction":
            for _ in range(self._order.concurrency):
                connection = await psycopg.AsyncConnection.connect(self._order.url)
                self._connections.append(connection)

    async def run(self) -> None:
        """Defer until there are enough, or the time is over."""
        order = self._order
        if order.seconds is not None:
            self._until_s = time.monotonic() + order.seconds
        modes = {
            "batches": self._batches,
            "paced": self._paced,
            "gaps": self._gaps,
            "single": self._single,
            "transaction": self._transactions,
        }
        run = modes[order.mode]
        lanes = 1 if order.mode == "paced" else order.concurrency
        await asyncio.gather(*(run() for _ in range(lanes)))

    async def report(self) -> None:
        """Say now and then how many jobs have been deferred."""
        while True:
            await asyncio.sleep(REPORT_INTERVAL_S)
            emit("deferred", count=self.deferred)

    def _arguments(self, size: int) -> list[dict[str, Any]]:
        now_s = time.monotonic()
        numbers = itertools.islice(self._numbers, size)
        if self._is_timed:
            return [{"number": number, "at_s": now_s} for number in numbers]
        return [{"number": number} for number in numbers]

    def _is_over(self) -> bool:
        return time.monotonic() >= self._until_s

    async def _batches(self) -> None:
        while not self._is_over() and (batch := self._arguments(self._order.batch_size)):
            await self._defer_batch(batch)

    async def _paced(self) -> None:
        """Defer what the pace has made due, whenever that is at least one job."""
        began_s = time.monotonic()
        asked = 0
        in_flight: set[asyncio.Future[None]] = set()
        while not self._is_over():
            due = int((time.monotonic() - began_s) * self._order.rate) - asked
            if due:
                asked += due
                sent = asyncio.ensure_future(self._defer_batch(self._arguments(due)))
                in_flight.add(sent)
                sent.add_done_callback(in_flight.discard)
            await asyncio.sleep(PACE_S)
        await asyncio.gather(*in_flight)

    async def _defer_batch(self, batch: list[dict[str, Any]]) -> None:
        ids = await self._task.batch_defer_async(*batch)
        self.deferred += len(ids)

    async def _gaps(self) -> None:
        while not self._is_over():
            await asyncio.sleep(random.uniform(*self._order.gap_s))
            if not (job := self._arguments(1)):
                return
            await self._task.defer_async(**job[0])
            self.deferred += 1

    async def _single(self) -> None:
        while not self._is_over() and (job := self._arguments(1)):
            await self._task.defer_async(**job[0])
            self.deferred += 1

    async def _transactions(self) -> None:
        async with self._connections.pop() as connection:
            deferrer = self._task.configure(connection=connection)
            while not self._is_over() and (job := self._arguments(1)):
                async with connection.transaction():
                    await deferrer.defer_async(**job[0])
                self.deferred += 1


if __name__ == "__main__":
    main()
