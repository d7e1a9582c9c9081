"""The burn-down with more and more worker processes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.bench.bench import Measured
from forthwith.bench.figure import Figure
from forthwith.bench.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from forthwith.bench.bench import Bench


async def run(bench: Bench) -> Measured:
    """Measure 1, 2, 4, … processes, each with as many jobs as one has alone."""
    settings = bench.settings
    figures: list[Figure] = []
    problems: list[str] = []
    total = 0
    alone = 0.0
    for count in counts(settings.processes):
        await bench.place.empty()
        jobs = settings.jobs * count
        found = await bench.burn_down(jobs, processes=count)
        rate = found.jobs_per_s
        alone = alone or rate
        named = "1 process" if count == 1 else f"{count} processes"
        figures.append(Figure(f"run, {named}", rate, "jobs/s"))
        if count > 1:
            figures.append(Figure(f"{named}, of linear", 100 * rate / alone / count, "%"))
        problems += [f"{named}: {problem}" for problem in found.problems]
        total += jobs
    return Measured(
        jobs=total,
        figures=tuple(figures),
        problems=tuple(problems),
        setup={"jobs per process": settings.jobs, "concurrency": settings.concurrency},
    )


def counts(processes_max: int) -> list[int]:
    """Return 1, 2, 4, … up to the most, which is always among them."""
    powers = [2**exponent for exponent in range(processes_max.bit_length())]
    return sorted({*powers, processes_max})


PROCESSES = Scenario(
    "processes",
    "S8",
    "burn-down with 1, 2, 4, … worker processes",
    run,
    workers=lambda settings: settings.processes,
)
