"""The burn-down while somebody holds a snapshot open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.bench.bench import Measured
from forthwith.bench.figure import Figure
from forthwith.bench.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forthwith.bench.bench import Bench
    from forthwith.bench.crew import Sample

TIMES = 5
"""How many times the jobs of a burn-down are run; the first share is compared with the last."""


async def run(bench: Bench) -> Measured:
    """Measure the first and the last fifth. Nothing that is deleted meanwhile can be cleaned up."""
    settings = bench.settings
    jobs = settings.jobs * TIMES
    deferred_per_s = await bench.load(jobs, "nothing")
    async with await bench.place.connect() as holder:
        await holder.execute("begin isolation level repeatable read")
        await holder.execute("select 1")
        found = await bench.work_off(jobs, first_id=0, deferred_per_s=deferred_per_s)
    first = pace(found.samples, found.began_s, 0, settings.jobs)
    last = pace(found.samples, found.began_s, jobs - settings.jobs, jobs)
    return Measured(
        jobs=jobs,
        figures=(
            Figure("run, all", found.jobs_per_s, "jobs/s"),
            Figure("run, first fifth", first, "jobs/s"),
            Figure("run, last fifth", last, "jobs/s"),
            Figure("last of first", 100 * last / first, "%"),
        ),
        problems=found.problems,
        setup={"jobs": jobs, "concurrency": settings.concurrency, "processes": 1},
    )


def pace(samples: Sequence[Sample], began_s: float, first: int, last: int) -> float:
    """Return the runs per second between the `first` run (0: the start) and the `last`."""
    if first == 0:
        # The first second goes to connecting: the clock starts with the first runs that are known of.
        first, from_s = samples[0].count, samples[0].at_s
    else:
        first, from_s = next((s.count, s.at_s) for s in samples if s.count >= first)
    count, until_s = next((s.count, s.at_s) for s in samples if s.count >= last)
    if until_s <= from_s:  # all of it was in one sample
        return count / max(until_s - began_s, 1e-9)
    return (count - first) / (until_s - from_s)


OLD_SNAPSHOT = Scenario(
    "old-snapshot",
    "S7",
    "burn-down, five times as long, while a snapshot stays open",
    run,
)
