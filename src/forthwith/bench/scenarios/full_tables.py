"""The burn-down in tables that are full of other jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

from forthwith.bench.bench import Measured, Step
from forthwith.bench.figure import Figure
from forthwith.bench.scenarios.scenario import Scenario
from forthwith.bench.tasks import OTHER_QUEUE, QUEUE

if TYPE_CHECKING:
    from forthwith.bench.bench import Bench

FINISHED_TIMES = 10
LOCKED_SHARE = 0.1
# In portions, so that Ctrl-C is heard in between and no statement lasts for minutes.
PORTION = 100_000

_FINISHED: LiteralString = """
    insert into forthwith.finished_job (
        id, lease_token, deferred_at, claimed_at, priority, attempts, status, crashes, crashes_max,
        abort_requested, queue, task, args)
    select nextval('forthwith.job_id_seq'), 1, clock_timestamp(), clock_timestamp(), 0, 1, 'succeeded',
        0, 3, false, %s, 'nothing', jsonb_build_object('number', number)
    from generate_series(1, %s::integer) number
"""
_SCHEDULED: LiteralString = """
    insert into forthwith.job (queue, task, state, scheduled_at, args)
    select %s, 'nothing', 'scheduled', clock_timestamp() + interval '1 day',
        jsonb_build_object('number', number)
    from generate_series(1, %s::integer) number
"""
_WAITING: LiteralString = """
    insert into forthwith.job (queue, task, state, args)
    select %s, 'nothing', 'ready', jsonb_build_object('number', number)
    from generate_series(1, %s::integer) number
"""
# The lock's holder waits in a queue that nobody serves.
_HOLDER: LiteralString = """
    insert into forthwith.job (queue, task, state, lock) values (%s, 'nothing', 'ready', 'hot')
"""
_LOCKED: LiteralString = """
    insert into forthwith.job (queue, task, state, lock, args)
    select %s, 'nothing', 'blocked', 'hot', jsonb_build_object('number', number)
    from generate_series(1, %s::integer) number
"""


async def run(bench: Bench) -> Measured:
    """Measure the burn-down on empty tables, then on full ones, in the same round."""
    settings = bench.settings
    empty = await bench.burn_down(settings.jobs)
    await bench.place.empty()
    await fill(bench, settings.fill)
    full = await bench.burn_down(settings.jobs)
    return Measured(
        jobs=2 * settings.jobs,
        figures=(
            Figure("run, tables empty", empty.jobs_per_s, "jobs/s"),
            Figure("run, tables full", full.jobs_per_s, "jobs/s"),
            Figure("full of empty", 100 * full.jobs_per_s / empty.jobs_per_s, "%"),
        ),
        problems=(*empty.problems, *full.problems),
        setup={
            "jobs": settings.jobs,
            "concurrency": settings.concurrency,
            "processes": 1,
            "finished": settings.fill * FINISHED_TIMES,
            "scheduled": settings.fill,
            "waiting in another queue": settings.fill,
            "behind one lock": int(settings.fill * LOCKED_SHARE),
        },
    )


async def fill(bench: Bench, size: int) -> None:
    """Put jobs that nobody will run into the tables, straight by SQL."""
    # Or else the history would go to the default partition, and be moved when the worker starts.
    await bench.rows(bench.place.statement("select forthwith.keep_partitions(2, null)"))
    await _insert(bench, _FINISHED, OTHER_QUEUE, size * FINISHED_TIMES, "finished jobs")
    await _insert(bench, _SCHEDULED, QUEUE, size, "scheduled jobs")
    await _insert(bench, _WAITING, OTHER_QUEUE, size, "jobs waiting elsewhere")
    async with await bench.place.connect() as connection:
        await connection.execute(bench.place.statement(_HOLDER), [OTHER_QUEUE])
    await _insert(bench, _LOCKED, QUEUE, int(size * LOCKED_SHARE), "jobs behind a lock")


async def _insert(bench: Bench, text: LiteralString, queue: str, size: int, what: str) -> None:
    statement = bench.place.statement(text)
    async with await bench.place.connect() as connection:
        for first in range(0, size, PORTION):
            bench.watch(Step(f"filling in {what}", first, size))
            await connection.execute(statement, [queue, min(PORTION, size - first)])


FULL_TABLES = Scenario(
    "full-tables",
    "S6",
    "burn-down beside finished, scheduled, waiting and locked jobs (see --fill)",
    run,
)
