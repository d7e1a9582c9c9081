"""S2: a producer and a worker at once; then at half of that pace, from defer to start."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from benchmarks.results import Run, percentile
from benchmarks.scenarios.checks import problems
from benchmarks.scenarios.commands import finish, install, produce, working
from benchmarks.scenarios.measures import latencies_ms, read_times, scratch, throughput
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

# More than any peer can defer in a second.
MOST_PER_S = 100_000
FULL_BATCH = 100
# At half pace a batch comes about every ten milliseconds.
HALF_BATCHES_PER_S = 100
# Before this, the worker is still warming up.
WARM_UP_SHARE = 0.2


async def run(contender: Contender, plan: Plan, database: str, number: int) -> list[Run]:
    """As fast as producer and worker can; then on another database at half of that rate, unless quick."""
    seconds = plan.by_mode(quick=1, default=3, full=30)
    full, rate = await _at_full(contender, plan, database, number, seconds)
    if plan.quick or not rate > 0 or full.problems:
        return [full]
    with contender.fresh() as second:
        half = await _at_half(contender, plan, second, number, seconds, rate / 2)
    return [full, half]


async def _at_full(
    contender: Contender, plan: Plan, database: str, number: int, seconds: float
) -> tuple[Run, float]:
    with scratch() as folder:
        jobs = int(MOST_PER_S * seconds)
        produced, _, started, wrong = await _both(
            contender, plan, database, folder, jobs, seconds, min(plan.batch_size, FULL_BATCH), 0.0
        )
        rate = throughput(started, produced["began_ns"], produced["ended_ns"])
    values = {
        "jobs_per_s": rate,
        "produced_per_s": produced["jobs"] / _took_s(produced),
    }
    made = produced["jobs"]
    return Run("steady", "full", contender.peer, number, made, values, problems=wrong), rate


async def _at_half(
    contender: Contender, plan: Plan, database: str, number: int, seconds: float, rate: float
) -> Run:
    with scratch() as folder:
        jobs = max(1, math.ceil(rate * seconds))
        batch_size = max(1, round(rate / HALF_BATCHES_PER_S))
        produced, deferred, started, wrong = await _both(
            contender, plan, database, folder, jobs, seconds, batch_size, rate
        )
        made = produced["jobs"]
        samples = latencies_ms(deferred, started, made)[int(made * WARM_UP_SHARE) :]
    if not samples:
        return Run("steady", "half", contender.peer, number, made, problems=wrong or ["none ran"])
    values = {
        "rate": rate,
        "jobs_per_s": made / _took_s(produced),
        "p50_ms": percentile(samples, 0.5),
        "p99_ms": percentile(samples, 0.99),
        "started_share": len(samples) / (made - int(made * WARM_UP_SHARE)),
    }
    return Run("steady", "half", contender.peer, number, made, values, problems=wrong)


async def _both(
    contender: Contender,
    plan: Plan,
    database: str,
    folder: Path,
    jobs: int,
    seconds: float,
    batch_size: int,
    rate: float,
) -> tuple[dict[str, Any], list[int], list[int], list[str]]:
    """Produce beside a worker. What was produced, when deferred, when started, what is wrong."""
    deferred, started = folder / "deferred", folder / "started"
    await install(contender, database)
    async with working(contender, plan, database, jobs, started) as worker:
        produced = await produce(
            contender,
            database,
            deferred,
            jobs=jobs,
            seconds=seconds,
            batch_size=batch_size,
            rate=rate,
        )
        worked = await finish(worker)
    made = produced["jobs"]
    wrong = await problems(
        contender, database, worked, made, all_done=False, slots=jobs, stopped=True
    )
    return produced, read_times(deferred), read_times(started), wrong


def _took_s(produced: dict[str, Any]) -> float:
    return max(float(produced["ended_ns"] - produced["began_ns"]) / 1e9, 1e-9)


SCENARIO = Scenario(run, needs=("noop", "stop"), quick=False)
