"""S3: an idle worker, and how long it takes to notice a job."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from benchmarks.results import Run, percentile
from benchmarks.scenarios.checks import problems
from benchmarks.scenarios.commands import SHORT_TIMEOUT_S, install, work_arguments
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from benchmarks import child
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

# The worker is idle again after this, and the phase of its polling is never the same.
PAUSE_S = (0.010, 0.050)
WARM_UP = 10


async def run(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """Another process defers one job at a time: from the call to the start."""
    jobs = WARM_UP + plan.size(quick=20, default=100, full=500)
    pauses = random.Random(number)
    await install(contender, database)
    arguments = [*work_arguments(plan, jobs, jobs), "--announce"]
    async with (
        contender.start(*arguments, database=database) as worker,
        contender.start("defer", database=database) as deferrer,
    ):
        samples = [await _pickup(deferrer, worker, job, pauses) for job in range(jobs)]
        worked = await worker.expect("worked", SHORT_TIMEOUT_S)
        await worker.ended(SHORT_TIMEOUT_S)
    measured = samples[WARM_UP:]
    values = {
        "p50_ms": percentile(measured, 0.5),
        "p99_ms": percentile(measured, 0.99),
        "max_ms": max(measured),
    }
    wrong = await problems(contender, database, worked, jobs, all_done=True)
    samples_ms = {"pickup_ms": [round(sample, 3) for sample in measured]}
    return Run("pickup", "", contender.peer, number, jobs, values, samples_ms, wrong)


async def _pickup(
    deferrer: child.Child, worker: child.Child, job: int, pauses: random.Random
) -> float:
    await asyncio.sleep(pauses.uniform(*PAUSE_S))
    await deferrer.write(str(job))
    deferred, ran = await asyncio.gather(
        deferrer.expect("deferred", SHORT_TIMEOUT_S), worker.expect("ran", SHORT_TIMEOUT_S)
    )
    return float(ran["at_ns"] - deferred["before_ns"]) / 1e6


SCENARIO = Scenario(run, needs=("noop", "single"))
