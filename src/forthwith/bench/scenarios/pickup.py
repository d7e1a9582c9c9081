"""An idle worker, and one job now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.bench.bench import Measured
from forthwith.bench.figure import Figure, percentile
from forthwith.bench.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from forthwith.bench.bench import Bench

WARM_UP_JOBS = 10
CONCURRENCY = 10


async def run(bench: Bench) -> Measured:
    """Measure the time from the call that defers a job to its start, in an idle worker."""
    jobs = WARM_UP_JOBS + bench.settings.pickups
    async with bench.crew(1, {"concurrency": CONCURRENCY}, "picking up", jobs) as crew:
        await crew.wait_ready()
        async with bench.producer(mode="gaps", task="timed", jobs=jobs, total=jobs) as producer:
            await producer.wait_for("ended", None)
            await producer.wait_end()
        await crew.wait_ran(jobs)
        await crew.wait_drained(0, await bench.last_id())
        await crew.stop()
    tally = crew.tally(jobs)
    waits_s = tally.waits_s[WARM_UP_JOBS:]
    shares = (("p50", 0.5), ("p99", 0.99), ("max", 1.0))
    return Measured(
        jobs=jobs,
        figures=tuple(
            Figure(f"defer to start, {name}", percentile(waits_s, share) * 1000, "ms")
            for name, share in shares
            if waits_s
        ),
        problems=await bench.problems(tally, jobs, first_id=0),
        setup={"jobs": bench.settings.pickups, "concurrency": CONCURRENCY, "processes": 1},
    )


PICKUP = Scenario("pickup", "S3", "defer one job to an idle worker: from defer to start", run, True)
