"""S6: the burn-down beside millions of other jobs: finished, scheduled, in another queue, behind a lock."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING

from benchmarks.results import Run
from benchmarks.scenarios.checks import complaints
from benchmarks.scenarios.commands import counted, install, load, work
from benchmarks.scenarios.filling import Filling, fill, statements
from benchmarks.scenarios.measures import seconds
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

FULL = Filling(finished=10_000_000, scheduled=1_000_000, waiting=1_000_000, locked=100_000)
# Where nobody has half an hour.
SMALLER = Filling(finished=1_000_000, scheduled=100_000, waiting=100_000, locked=10_000)
# Some peers read past all that is in the way, for each job.
TIMEOUT_S = 60.0
NOT_OFFERED = "not offered: no statements that fill its tables"


async def run(contender: Contender, plan: Plan, database: str, number: int) -> list[Run]:
    """The same jobs on empty tables and on full ones, in turns: in every other round, first on full ones.

    Both are timed until the last has begun: jobs that nobody runs never leave the tables empty.
    """
    by_sort = statements(contender.peer)
    if not by_sort:
        return [Run("full_tables", "", contender.peer, number, 0, not_offered=NOT_OFFERED)]
    filling = (FULL if plan.mode == "full" else SMALLER).within(by_sort)
    jobs = plan.burn_down_jobs(contender)
    await install(contender, database)
    await asyncio.to_thread(fill, database, by_sort, filling)
    with contender.fresh() as other:
        await install(contender, other)
        databases = [other, database] if number % 2 else [database, other]
        measured = {each: await _measured(contender, plan, each, jobs) for each in databases}
    empty, wrong_when_empty = measured[other]
    full, wrong_when_full = measured[database]
    values = {
        "jobs_per_s": full,
        "jobs_per_s_empty": empty,
        "share_of_empty": full / empty,
        **{sort: float(size) for sort, size in asdict(filling).items()},
    }
    wrong = [*wrong_when_empty, *wrong_when_full]
    return [Run("full_tables", "", contender.peer, number, jobs, values, problems=wrong)]


async def _measured(
    contender: Contender, plan: Plan, database: str, jobs: int
) -> tuple[float, list[str]]:
    """Jobs per second, and what does not add up; whatever was there before stays out of it."""
    done_before, left_before = await counted(contender, database)
    await load(contender, plan, database, jobs, installed=True)
    slots = jobs + 1  # one that never comes, so that nobody waits until the tables are empty
    worked = await work(contender, plan, database, slots, target=jobs, timeout_s=TIMEOUT_S)
    done, left = await counted(contender, database)
    once = worked["ran_once"]
    doubled = slots - once - worked["ran_never"]
    succeeded = done - done_before if contender.history else once
    # The worker was stopped when the last had begun: what is not recorded by then runs again.
    once = min(once, succeeded)
    wrong = complaints(doubled, once, jobs, succeeded, left - left_before, all_done=False)
    return jobs / seconds(worked), wrong


SCENARIO = Scenario(run, needs=("noop",), backends=("postgresql",), quick=False, default=False)
