"""Jobs that do something for a millisecond: wait, wait in a thread, compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.bench.bench import Measured
from forthwith.bench.figure import Figure
from forthwith.bench.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from forthwith.bench.bench import Bench

ASYNC_CONCURRENCY = 1000
THREADS = 100
COMPUTING_CONCURRENCY = 4
THREADED_SHARE = 0.2
COMPUTING_SHARE = 0.1


async def run(bench: Bench) -> Measured:
    """Measure async I/O in one process, sync tasks in threads, and computing in several processes."""
    settings = bench.settings
    processes = settings.processes
    ways = (
        (f"async I/O, concurrency {ASYNC_CONCURRENCY:,}", "waits", 1.0, 1, ASYNC_CONCURRENCY),
        (f"sync in {THREADS} threads", "sleeps", THREADED_SHARE, 1, THREADS),
        (
            f"CPU, {_counted(processes)}",
            "computes",
            COMPUTING_SHARE,
            processes,
            COMPUTING_CONCURRENCY,
        ),
    )
    figures: list[Figure] = []
    problems: list[str] = []
    total = 0
    for name, task, share, workers, concurrency in ways:
        await bench.place.empty()
        jobs = max(1, int(settings.jobs * share))
        found = await bench.burn_down(jobs, task=task, processes=workers, concurrency=concurrency)
        figures.append(Figure(f"1 ms {name}", found.jobs_per_s, "jobs/s"))
        problems += [f"{name}: {problem}" for problem in found.problems]
        total += jobs
    return Measured(
        jobs=total,
        figures=tuple(figures),
        problems=tuple(problems),
        setup={"jobs": settings.jobs, "processes": processes},
    )


def _counted(processes: int) -> str:
    return "1 process" if processes == 1 else f"{processes} processes"


TASKS = Scenario(
    "tasks",
    "S5",
    "tasks of 1 ms: async I/O at concurrency 1,000, sync in threads, CPU in processes",
    run,
    workers=lambda settings: settings.processes,
)
