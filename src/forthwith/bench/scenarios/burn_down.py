"""A full queue and one worker process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.bench.bench import Measured
from forthwith.bench.figure import Figure
from forthwith.bench.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from forthwith.bench.bench import Bench


async def run(bench: Bench) -> Measured:
    """Measure how fast jobs that do nothing are run, and how fast they were deferred."""
    settings = bench.settings
    found = await bench.burn_down(settings.jobs)
    return Measured(
        jobs=settings.jobs,
        figures=(
            Figure("run", found.jobs_per_s, "jobs/s"),
            Figure("deferred, batches of 1,000", found.deferred_per_s, "jobs/s"),
        ),
        problems=found.problems,
        setup={"jobs": settings.jobs, "concurrency": settings.concurrency, "processes": 1},
    )


BURN_DOWN = Scenario(
    "burn-down", "S1", "run a full queue of jobs that do nothing, in one process", run, True
)
