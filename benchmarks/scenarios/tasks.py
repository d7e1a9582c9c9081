"""S5: jobs that do something for a millisecond: wait, block a thread, compute."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.results import Run
from benchmarks.scenarios.checks import problems
from benchmarks.scenarios.commands import load, work
from benchmarks.scenarios.measures import memory_values, seconds
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan


class Form(NamedTuple):
    """A kind of job, how many run at once (0: as elsewhere), and at most how many in all."""

    kind: str
    concurrency: int
    most: int


FORMS = (Form("io", 1000, 50_000), Form("thread", 0, 10_000), Form("cpu", 0, 4_000))
MOST_PROCESSES = 4


async def run(contender: Contender, plan: Plan, database: str, number: int) -> list[Run]:
    """Each kind on a fresh database. CPU jobs get a process for each core, where a peer has that."""
    del database  # each kind has one of its own
    return [await _form(contender, plan, form, number) for form in FORMS]


async def _form(contender: Contender, plan: Plan, form: Form, number: int) -> Run:
    if not contender.can(form.kind):
        reason = f"not offered: {form.kind}"
        return Run("tasks", form.kind, contender.peer, number, 0, not_offered=reason)
    jobs = plan.short_jobs(contender, form.most // (4 if plan.quick else 1))
    processes = processes_for(form.kind, contender)
    with contender.fresh() as database:
        await load(contender, plan, database, jobs, kind=form.kind)
        worked = await work(
            contender,
            plan,
            database,
            jobs,
            jobs,
            kind=form.kind,
            concurrency=form.concurrency,
            processes=processes,
        )
        wrong = await problems(contender, database, worked, jobs, all_done=True)
    values = {
        "jobs_per_s": jobs / seconds(worked),
        "processes": float(processes or 1),
        **memory_values(worked),
    }
    return Run("tasks", form.kind, contender.peer, number, jobs, values, problems=wrong)


def processes_for(kind: str, contender: Contender) -> int:
    """A process for each core that we may use; 0 leaves it to the peer."""
    if kind != "cpu" or not contender.can("processes"):
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, MOST_PROCESSES)


SCENARIO = Scenario(run, quick=False, default=False)
