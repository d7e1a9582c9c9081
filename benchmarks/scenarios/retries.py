"""S9: every job fails once, and is retried at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.results import Run
from benchmarks.scenarios.checks import problems
from benchmarks.scenarios.commands import load, work
from benchmarks.scenarios.measures import seconds
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

MOST = 20_000


async def run(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """Burn down jobs that fail on their first run. The store must say that all have succeeded."""
    jobs = plan.short_jobs(contender, MOST)
    await load(contender, plan, database, jobs, kind="fail_once")
    worked = await work(contender, plan, database, jobs, jobs, kind="fail_once")
    values = {"jobs_per_s": jobs / seconds(worked), "failures": worked["failures"]}
    wrong = await problems(contender, database, worked, jobs, all_done=True)
    if worked["failures"] != jobs:
        wrong.append(f"{worked['failures']} failures, not {jobs}")
    return Run("retries", "", contender.peer, number, jobs, values, problems=wrong)


SCENARIO = Scenario(run, needs=("fail_once",), quick=False, default=False)
