"""Workers inside the test's own process, and questions to the database about what they did."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import datetime
    from collections.abc import AsyncIterator, Iterator

    import psycopg

    import forthwith


#: A worker that leaves by itself must have left by then: a test that hangs says nothing.
RUN_MAX_S = 120.0
#: What a worker in a test's process adds to Procrastinate's defaults: the signals belong to pytest,
#: and a job that hangs must not keep the test's end from coming.
OPTIONS: dict[str, Any] = {"install_signal_handlers": False, "shutdown_graceful_timeout": 10.0}


async def run_until_idle(app: forthwith.App, **options: Any) -> None:
    """Run a worker that leaves when nothing is left that could run now."""
    async with asyncio.timeout(RUN_MAX_S):
        await app.run_worker_async(**{"wait": False, **OPTIONS, **options})


@asynccontextmanager
async def running_worker(app: forthwith.App, **options: Any) -> AsyncIterator[None]:
    """Run a worker beside the block, and stop it gracefully at its end."""
    worker = asyncio.create_task(app.run_worker_async(**{**OPTIONS, **options}))
    try:
        yield
    finally:
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker


async def status(app: forthwith.App, job_id: int) -> str | None:
    """Return a job's status, None if there is no such job."""
    job = await app.job_manager.get_job_async(job_id)
    return None if job is None else job.status


async def count(app: forthwith.App, *statuses: str) -> int:
    """Return how many jobs have one of the statuses."""
    counts = await app.job_manager.count_jobs_async()
    return sum(counts.get(status, 0) for status in statuses)


async def finished_ids(connection: psycopg.AsyncConnection[Any], status: str) -> list[int]:
    """Return the ids in the history that ended with `status`, in order, repeated if repeated."""
    query = "select id from forthwith.finished_job where status::text = %s order by id"
    return [job_id for (job_id,) in await (await connection.execute(query, [status])).fetchall()]


async def database_time(connection: psycopg.AsyncConnection[Any]) -> datetime.datetime:
    """Return the time by the database's clock, which due times go by."""
    [(now,)] = await (await connection.execute("select clock_timestamp()")).fetchall()
    assert now is not None
    return now  # type: ignore[no-any-return]


async def transactions_of(
    connection: psycopg.AsyncConnection[Any], table: str, ids: list[int]
) -> int:
    """Return how many transactions wrote these rows of forthwith's `table`.

    Rows that one transaction wrote have the same xmin; no statistics that lag behind are asked.
    """
    query = f"select count(distinct xmin::text) from forthwith.{table} where id = any(%s)"  # noqa: S608
    [(transactions,)] = await (await connection.execute(query, [ids])).fetchall()
    return int(transactions)


@dataclass(slots=True)
class Flights:
    """What tasks in this process noted about their runs: order, times, how many at once.

    ```python
    with flights.of(number):
        await asyncio.sleep(0.1)
    ```
    """

    #: The keys in the order in which the runs started.
    started: list[Any] = field(default_factory=list)
    #: (start, end) of each run that is over, in seconds by the loop's clock.
    spans: list[tuple[float, float]] = field(default_factory=list)
    in_flight: int = 0
    in_flight_max: int = 0

    @contextmanager
    def of(self, key: Any) -> Iterator[None]:
        """Note a run from the beginning of the block to its end."""
        clock = asyncio.get_running_loop().time
        self.started.append(key)
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        start = clock()
        try:
            yield
        finally:
            self.in_flight -= 1
            self.spans.append((start, clock()))

    @property
    def busy_s(self) -> float:
        """The sum of all runs' durations."""
        return sum(end - start for start, end in self.spans)

    @property
    def elapsed_s(self) -> float:
        """The time from the first run's start to the last one's end."""
        return max(end for _, end in self.spans) - min(start for start, _ in self.spans)
