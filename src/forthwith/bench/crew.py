"""A crew: worker processes that begin together, and what they have done."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forthwith.bench.child import Child
from forthwith.bench.errors import JobsStalled
from forthwith.bench.order import WorkerOrder
from forthwith.bench.tally import Tally, added, load
from forthwith.bench.tasks import QUEUE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path
    from typing import LiteralString

    import psycopg

    from forthwith.bench.place import Place

READY_S = 60.0
STALLED_S = 60.0
POLL_S = 0.05
RAN_POLL_S = 0.01
DRAINED_POLL_S = 0.004
# The newest jobs are the last to go: as long as one of these is there, nobody need look at the others.
TAIL_JOBS = 2000


@dataclass(frozen=True, slots=True)
class Sample:
    """How many jobs had run at a time of the clock that all processes share."""

    at_s: float
    count: int


class Crew:
    """Worker processes. Made by `open_crew`."""

    def __init__(self, place: Place, children: Sequence[Child], tallies: Sequence[Path]) -> None:
        self._place = place
        self.children = children
        self._tallies = tallies

    @property
    def ran(self) -> int:
        """How many jobs have run so far, as the workers say every few milliseconds."""
        return sum(child.count for child in self.children)

    async def began_s(self) -> float:
        """Return when the first of them began: before it connected."""
        return min([(await child.wait_for("began")).at_s for child in self.children])

    async def wait_ready(self) -> None:
        """Wait until all of them are registered and look for jobs. Raises `TimeoutError`."""
        await self._wait_registered("select count(*) from forthwith.worker where sleeping")

    async def _wait_registered(self, counting: LiteralString) -> None:
        query = self._place.statement(counting)
        async with asyncio.timeout(READY_S), await self._place.connect() as connection:
            while True:
                [(count,)] = await _rows(connection, query)
                if count >= len(self.children):
                    return
                self.check_alive()
                await asyncio.sleep(POLL_S)

    async def wait_ran(self, count: int) -> None:
        """Wait until so many runs have been counted. Raises `ChildDied`, `JobsStalled`."""
        changed_s, before = time.monotonic(), -1
        while (ran := self.ran) < count:
            self.check_alive()
            if ran != before:
                changed_s, before = time.monotonic(), ran
            elif time.monotonic() - changed_s > STALLED_S:
                raise JobsStalled(
                    f"{ran} of {count} runs, and none more in {STALLED_S:.0f} seconds"
                )
            await asyncio.sleep(RAN_POLL_S)

    async def wait_drained(self, after_id: int, last_id: int) -> float:
        """Wait until the database has no job beyond `after_id`; return when that was.

        `last_id` is the last of them. Raises `JobsStalled`.
        """
        async with await self._place.connect() as connection:
            ended_s = await self._wait_none(connection, max(after_id, last_id - TAIL_JOBS))
            # Nearly always the answer is the same for all, at the first look.
            if await self._left(connection, after_id):
                ended_s = await self._wait_none(connection, after_id)
            return ended_s

    async def _wait_none(self, connection: psycopg.AsyncConnection[Any], after_id: int) -> float:
        changed_s, before = time.monotonic(), 0
        while left := await self._left(connection, after_id):
            self.check_alive()
            if left != before:
                changed_s, before = time.monotonic(), left
            elif time.monotonic() - changed_s > STALLED_S:
                raise JobsStalled(
                    f"{left} jobs are not final, and none ended in {STALLED_S:.0f} seconds"
                )
            await asyncio.sleep(DRAINED_POLL_S)
        return time.monotonic()

    async def _left(self, connection: psycopg.AsyncConnection[Any], after_id: int) -> int:
        query = self._place.statement("select count(*) from forthwith.job where id > %s")
        [(left,)] = await _rows(connection, query, [after_id])
        return int(left)

    def check_alive(self) -> None:
        """Raise `ChildDied` if one of them has died."""
        for child in self.children:
            child.check_alive()

    async def stop(self) -> None:
        """Let them leave gracefully. Raises `ChildDied`, and `TimeoutError`.

        Where there is little to do, one may not have begun when the others are done. The signal would
        kill it: a worker hears signals before it is registered, and not much before.
        """
        await self._wait_registered("select count(*) from forthwith.worker")
        for child in self.children:
            child.terminate()
        for child in self.children:
            await child.wait_end()

    def tally(self, jobs: int) -> Tally:
        """Return what all have counted, once they have stopped."""
        return added((load(path) for path in self._tallies), jobs)

    def samples(self) -> list[Sample]:
        """Return how the number of runs has grown, over all of them."""
        counts = dict.fromkeys((child.name for child in self.children), 0)
        found: list[Sample] = []
        events = sorted(
            (event.at_s, child.name, int(event.values["count"]))
            for child in self.children
            for event in child.events
            if event.name == "ran"
        )
        for at_s, name, count in events:
            counts[name] = count
            found.append(Sample(at_s, sum(counts.values())))
        return found


def _forget_tallies(home: Path) -> None:
    for file in home.glob("worker-*.tally"):
        file.unlink()


@asynccontextmanager
async def open_crew(
    place: Place,
    home: Path,
    *,
    processes: int,
    options: dict[str, Any],
    report_interval_s: float | None = 0.02,
    watch: Callable[[], None] = lambda: None,
) -> AsyncIterator[Crew]:
    """Start worker processes with these options of run_worker, and let them begin at the same time.

    `watch` is called whenever one has said something. At the end of the block all are dead.
    """
    _forget_tallies(home)
    names = [f"worker-{number}" for number in range(1, processes + 1)]
    tallies = [home / f"{name}.tally" for name in names]
    children = [
        Child(
            WorkerOrder(
                url=place.url,
                schema=place.schema,
                name=name,
                tally=str(path),
                options={"queues": [QUEUE], **options},
                report_interval_s=report_interval_s,
            ),
            home,
            lambda _event: watch(),
        )
        for name, path in zip(names, tallies, strict=True)
    ]
    try:
        await asyncio.gather(*(child.start() for child in children))
        for child in children:
            child.go()
        yield Crew(place, children, tallies)
    finally:
        for child in children:
            await child.kill()


async def _rows(
    connection: psycopg.AsyncConnection[Any], query: bytes, parameters: list[Any] | None = None
) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query, parameters)).fetchall()
