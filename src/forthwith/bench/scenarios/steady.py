"""Producers and a worker at the same time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from forthwith.bench.activity import observed
from forthwith.bench.bench import Measured
from forthwith.bench.figure import Figure, percentile
from forthwith.bench.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forthwith.bench.bench import Bench
    from forthwith.bench.crew import Sample

BATCH_SIZE = 100
LANES = 4
WARM_UP_S = 1.0
WARM_UP_SHARE = 0.25


async def run(bench: Bench) -> Measured:
    """Measure how many jobs go through, then how long a job waits at half of that."""
    settings = bench.settings
    full, full_jobs, problems = await _full_load(bench)
    await bench.place.empty()
    waits_s, half_jobs, more_problems = await _half_load(bench, full / 2)
    figures = [Figure("run while deferred", full, "jobs/s")]
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        if waits_s:
            wait_ms = percentile(waits_s, share) * 1000
            figures.append(Figure(f"to start at half load, {name}", wait_ms, "ms"))
    return Measured(
        jobs=full_jobs + half_jobs,
        figures=tuple(figures),
        problems=(*problems, *more_problems),
        setup={
            "seconds": settings.seconds,
            "concurrency": settings.concurrency,
            "processes": 1,
            "producers": LANES,
            "batch size": BATCH_SIZE,
        },
    )


async def _full_load(bench: Bench) -> tuple[float, int, tuple[str, ...]]:
    """Return the jobs run per second of the time that was deferred in, the jobs deferred, and problems."""
    settings = bench.settings
    options = {"concurrency": settings.concurrency}
    async with bench.crew(1, options, "running what comes", 0) as crew:
        await crew.wait_ready()
        async with bench.producer(
            mode="batches",
            task="nothing",
            seconds=settings.seconds,
            batch_size=BATCH_SIZE,
            concurrency=LANES,
            total=0,
        ) as producer:
            async with observed(bench.place, bench.activity):
                began = await producer.wait_for("began")
                ended = await producer.wait_for("ended", None)
            await producer.wait_end()
        deferred = int(ended.values["deferred"])
        await crew.wait_ran(deferred)
        await crew.wait_drained(0, await bench.last_id())
        await crew.stop()
    rate = ran_until(crew.samples(), ended.at_s) / (ended.at_s - began.at_s)
    return rate, deferred, await bench.problems(crew.tally(deferred), deferred, first_id=0)


async def _half_load(bench: Bench, rate: float) -> tuple[Sequence[float], int, tuple[str, ...]]:
    """Return the waits of the jobs behind the warm-up, in seconds, the jobs deferred, and problems."""
    settings = bench.settings
    warm_up_s = min(WARM_UP_S, settings.seconds * WARM_UP_SHARE)
    seconds = settings.seconds + warm_up_s
    options = {"concurrency": settings.concurrency}
    began_s = time.monotonic()
    async with bench.crew(1, options, "running at half load", rate * seconds) as crew:
        await crew.wait_ready()
        async with bench.producer(
            mode="paced", task="timed", seconds=seconds, rate=rate, total=rate * seconds
        ) as producer:
            ended = await producer.wait_for("ended", None)
            await producer.wait_end()
        deferred = int(ended.values["deferred"])
        await crew.wait_ran(deferred)
        await crew.wait_drained(0, await bench.last_id())
        await crew.stop()
    bench.clock("half load", began_s, seconds)
    tally = crew.tally(deferred)
    warm = tally.waits_s[int(rate * warm_up_s) :]
    return warm, deferred, await bench.problems(tally, deferred, first_id=0)


def ran_until(samples: Sequence[Sample], at_s: float) -> int:
    """Return how many jobs had run by then, as far as the workers have said."""
    return max((sample.count for sample in samples if sample.at_s <= at_s), default=0)


STEADY = Scenario(
    "steady", "S2", "defer and run at once; then, at half that load, from defer to start", run, True
)
