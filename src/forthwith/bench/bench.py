"""What a scenario works with: a place, producers that defer, a crew that runs, and a check of both.

found = await bench.burn_down(bench.settings.jobs)
return Measured(jobs, (Figure("run", found.jobs_per_s, "jobs/s"),), found.problems)
"""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from forthwith.bench.activity import Activity, observed
from forthwith.bench.child import Child
from forthwith.bench.crew import Crew, Sample, open_crew
from forthwith.bench.order import ProducerOrder
from forthwith.bench.tally import Tally, strays
from forthwith.bench.tasks import QUEUE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from forthwith.bench.figure import Figure
    from forthwith.bench.place import Place
    from forthwith.bench.settings import BenchSettings

LOAD_BATCH_SIZE = 1000
NEARLY_ALL = 0.95


@dataclass(frozen=True, slots=True)
class Step:
    """How far a scenario is in one of its parts."""

    text: str
    done: float
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What one round of a scenario came to."""

    jobs: int
    figures: tuple[Figure, ...]
    problems: tuple[str, ...] = ()
    setup: dict[str, float | int | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Burned:
    """A queue that was worked off."""

    jobs: int
    deferred_per_s: float
    began_s: float
    ended_s: float
    samples: list[Sample]
    problems: tuple[str, ...]
    resident_bytes: int | None
    """Of the first worker, before it connected; None where the system does not tell."""
    resident_bytes_max: int
    """Of the largest worker."""

    @property
    def jobs_per_s(self) -> float:
        """From the start of the workers until the database had no job left."""
        return self.jobs / (self.ended_s - self.began_s)


@dataclass(slots=True)
class Bench:
    """The lab while it is open. `watch` is told each step."""

    place: Place
    home: Path
    settings: BenchSettings
    watch: Callable[[Step], None] = lambda _step: None
    activity: Activity = field(default_factory=Activity)

    async def burn_down(
        self,
        jobs: int,
        *,
        task: str = "nothing",
        processes: int = 1,
        concurrency: int | None = None,
        times: int = 1,
    ) -> Burned:
        """Defer jobs into what the tables hold already, then run them. Each is to run so many `times`."""
        first_id = await self.last_id()
        deferred_per_s = await self.load(jobs, task)
        return await self.work_off(
            jobs,
            first_id=first_id,
            deferred_per_s=deferred_per_s,
            processes=processes,
            concurrency=concurrency,
            times=times,
        )

    async def work_off(
        self,
        jobs: int,
        *,
        first_id: int,
        deferred_per_s: float = 0.0,
        processes: int = 1,
        concurrency: int | None = None,
        times: int = 1,
    ) -> Burned:
        """Run the jobs that were deferred after `first_id`."""
        await self.place.settle()
        last_id = await self.last_id()
        options = {"concurrency": concurrency or self.settings.concurrency}
        async with (
            self.crew(processes, options, "running", jobs * times) as crew,
            observed(self.place, self.activity),
        ):
            began_s = await crew.began_s()
            # The workers' reports lag behind: towards the end the database is asked.
            await crew.wait_ran(int(NEARLY_ALL * jobs * times))
            ended_s = await crew.wait_drained(first_id, last_id)
            await crew.wait_ran(jobs * times)
            await crew.stop()
        began = await crew.children[0].wait_for("began")
        ended = [await child.wait_for("ended") for child in crew.children]
        return Burned(
            jobs=jobs,
            deferred_per_s=deferred_per_s,
            began_s=began_s,
            ended_s=ended_s,
            samples=crew.samples(),
            problems=await self.problems(crew.tally(jobs), jobs, first_id=first_id, times=times),
            resident_bytes=began.values["resident_bytes"],
            resident_bytes_max=max(int(event.values["resident_bytes_max"]) for event in ended),
        )

    async def load(self, jobs: int, task: str) -> float:
        """Defer jobs 0 to `jobs` - 1 of a task, in batches. Returns how many a second."""
        self.watch(Step("deferring", 0, jobs))
        async with self.producer(
            mode="batches", task=task, jobs=jobs, batch_size=LOAD_BATCH_SIZE, total=jobs
        ) as producer:
            ended = await producer.wait_for("ended", None)
            await producer.wait_end()
        return int(ended.values["deferred"]) / max(float(ended.values["elapsed_s"]), 1e-9)

    @asynccontextmanager
    async def producer(self, *, total: float, **order: Any) -> AsyncIterator[Child]:
        """Start a producer with this order; it is dead at the end. `total` is what it will reach."""
        child = Child(
            ProducerOrder(url=self.place.url, schema=self.place.schema, name="producer", **order),
            self.home,
            lambda _event: self.watch(Step("deferring", child.count, total)),
        )
        try:
            await child.start()
            child.go()
            yield child
        finally:
            await child.kill()

    @asynccontextmanager
    async def crew(
        self, processes: int, options: dict[str, Any], text: str, total: float, **more: Any
    ) -> AsyncIterator[Crew]:
        """Start workers; they are dead at the end."""
        current: list[Crew] = []

        def watch() -> None:
            if current:
                self.watch(Step(text, current[0].ran, total))

        async with open_crew(
            self.place, self.home, processes=processes, options=options, watch=watch, **more
        ) as crew:
            current.append(crew)
            yield crew

    async def last_id(self) -> int:
        """Return the id of the job that was deferred last; 0 if there was none."""
        query = self.place.statement(
            "select coalesce(pg_sequence_last_value("
            "pg_get_serial_sequence('forthwith.job', 'id')::regclass), 0)"
        )
        [(last_id,)] = await self.rows(query)
        return int(last_id)

    async def problems(
        self, tally: Tally, jobs: int, *, first_id: int, times: int = 1
    ) -> tuple[str, ...]:
        """Say what is amiss with the jobs after `first_id`: by the workers' count, and in the database."""
        found = strays(tally, jobs, times)
        query = self.place.statement(
            "select count(*), count(distinct id), count(*) filter (where status = 'succeeded'),"
            " count(*) filter (where attempts <> %s),"
            " (select count(*) from forthwith.job where id > %s and queue = %s)"
            " from forthwith.finished_job where id > %s and queue = %s"
        )
        [(rows, ids, succeeded, odd, left)] = await self.rows(
            query, [times, first_id, QUEUE, first_id, QUEUE]
        )
        if (rows, ids, succeeded) != (jobs, jobs, jobs):
            found.append(
                f"of {jobs} jobs {ids} are in history, {rows - ids} of them twice, and "
                f"{succeeded} succeeded"
            )
        if odd:
            found.append(f"{odd} jobs have not had {times} attempts in history")
        if left:
            found.append(f"{left} jobs are still waiting or running")
        return tuple(found)

    async def rows(
        self, query: bytes, parameters: list[Any] | None = None
    ) -> list[tuple[Any, ...]]:
        """Return what a statement finds, by a connection of its own."""
        async with await self.place.connect() as connection:
            return await (await connection.execute(query, parameters)).fetchall()

    def clock(self, text: str, began_s: float, total_s: float) -> None:
        """Say that time passes."""
        self.watch(Step(text, min(time.monotonic() - began_s, total_s), total_s))
