"""S1: a full queue, and one worker process that empties it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.results import Run
from benchmarks.scenarios.checks import problems
from benchmarks.scenarios.commands import load, work
from benchmarks.scenarios.measures import memory_values, seconds
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan


async def run(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """Defer N jobs; then one worker runs them all, and the store says when they are done."""
    jobs = plan.burn_down_jobs(contender)
    load_s = await load(contender, plan, database, jobs)
    worked = await work(contender, plan, database, jobs, target=jobs)
    values = {
        "jobs_per_s": jobs / seconds(worked),
        "jobs_per_s_from_first_start": jobs / seconds(worked, "first_ns"),
        "deferred_per_s": jobs / load_s,
        **memory_values(worked),
    }
    wrong = await problems(contender, database, worked, jobs, all_done=True)
    return Run("burn_down", "", contender.peer, number, jobs, values, problems=wrong)


SCENARIO = Scenario(run, needs=("noop",), rounds=2, rounds_quick=1, rounds_full=5)
