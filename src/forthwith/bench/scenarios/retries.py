"""A full queue of jobs that fail once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.bench.bench import Measured
from forthwith.bench.figure import Figure
from forthwith.bench.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from forthwith.bench.bench import Bench

RUNS = 2


async def run(bench: Bench) -> Measured:
    """Measure jobs of which each fails in its first run and succeeds in the second."""
    settings = bench.settings
    found = await bench.burn_down(settings.jobs, task="fails_once", times=RUNS)
    query = bench.place.statement("select count(*) from forthwith.failed_attempt")
    [(failures,)] = await bench.rows(query)
    problems = found.problems
    if failures != settings.jobs:
        problems = (*problems, f"{failures} failures are on record, not {settings.jobs}")
    return Measured(
        jobs=settings.jobs,
        figures=(Figure("failed once, then run", found.jobs_per_s, "jobs/s"),),
        problems=problems,
        setup={"jobs": settings.jobs, "concurrency": settings.concurrency, "processes": 1},
    )


RETRIES = Scenario("retries", "S9", "burn-down of jobs that all fail once and are retried", run)
