"""Memory and disk: a worker beside a long queue, and what a job takes in the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.bench.bench import Measured, Step
from forthwith.bench.figure import Figure
from forthwith.bench.scenarios.scenario import Scenario
from forthwith.bench.tasks import QUEUE

if TYPE_CHECKING:
    from forthwith.bench.bench import Bench

PORTION = 100_000
_MIB = 1024**2
# A table that has no partitions is not in the tree of any.
_SIZE = b"""
    select pg_total_relation_size(name)
        + coalesce((select sum(pg_total_relation_size(relid)) from pg_partition_tree(name) where isleaf), 0)
    from (values (%s::regclass)) given (name)
"""


async def run(bench: Bench) -> Measured:
    """Measure a worker's resident set while it works off a queue, and the bytes of each job."""
    settings = bench.settings
    jobs = settings.fill
    await fill_waiting(bench, jobs)
    live_bytes = await _size(bench, "job")
    found = await bench.work_off(jobs, first_id=0)
    finished_bytes = await _size(bench, "finished_job")
    figures = [Figure("worker at its largest", found.resident_bytes_max / _MIB, "MiB")]
    if found.resident_bytes is not None:
        figures.insert(0, Figure("worker before it connects", found.resident_bytes / _MIB, "MiB"))
    figures += [
        Figure("live job, indexes included", live_bytes / jobs, "bytes/job"),
        Figure("finished job, indexes included", finished_bytes / jobs, "bytes/job"),
    ]
    return Measured(
        jobs=jobs,
        figures=tuple(figures),
        problems=found.problems,
        setup={"jobs waiting": jobs, "concurrency": settings.concurrency, "processes": 1},
    )


async def fill_waiting(bench: Bench, size: int) -> None:
    """Put jobs that are ready into the queue, straight by SQL, numbered from 0."""
    numbered = bench.place.statement(
        "insert into forthwith.job (queue, task, state, args)"
        " select %s, 'nothing', 'ready', jsonb_build_object('number', number)"
        " from generate_series(%s::integer, %s::integer) number"
    )
    async with await bench.place.connect() as connection:
        for first in range(0, size, PORTION):
            bench.watch(Step("filling", first, size))
            last = min(size, first + PORTION) - 1
            await connection.execute(numbered, [QUEUE, first, last])


async def _size(bench: Bench, table: str) -> int:
    """Return the bytes of a table, its partitions and indexes."""
    name = f"{bench.place.schema}.{table}"
    [(size,)] = await bench.rows(_SIZE, [name])
    return int(size)


MEMORY = Scenario(
    "memory", "S11", "a worker's memory beside a long queue; bytes per job in the database", run
)
