"""S11: the worker beside a long queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.results import Run
from benchmarks.scenarios.checks import problems
from benchmarks.scenarios.commands import load, work
from benchmarks.scenarios.measures import memory_values
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan


async def run(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """The worker's resident set while it drains part of a long queue."""
    waiting = plan.memory_waiting(contender)
    drained = min(contender.sizes["memory_drained"], waiting // 2)
    await load(contender, plan, database, waiting)
    worked = await work(contender, plan, database, waiting, target=drained)
    values = {"waiting": waiting, "drained": worked["runs"], **memory_values(worked)}
    wrong = await problems(contender, database, worked, waiting, all_done=False)
    return Run("memory", "", contender.peer, number, waiting, values, problems=wrong)


SCENARIO = Scenario(run, needs=("noop",), quick=False, default=False)
