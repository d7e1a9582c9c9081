"""S4: what a defer costs: one by one from many callers, in batches, inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.results import Run
from benchmarks.scenarios.commands import LOAD_TIMEOUT_S, SHORT_TIMEOUT_S, counted, install, load
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan


class Form(NamedTuple):
    """A way to defer: what the peer must offer for it, and how many callers or jobs a call.

    `quick` says whether it is measured with `--quick`, too: each is a process to start.
    """

    variant: str
    needs: str
    size: int
    jobs: int
    quick: bool = False


FORMS = (
    Form("single 1", "single", 1, 600, quick=True),
    Form("single 16", "single", 16, 3_000),
    Form("single 64", "single", 64, 6_000, quick=True),
    Form("transaction 1", "transaction", 1, 400),
    Form("transaction 16", "transaction", 16, 2_000),
    Form("batch 1000", "batch", 1_000, 40_000, quick=True),
    Form("batch 10000", "batch", 10_000, 80_000),
)


async def run(contender: Contender, plan: Plan, database: str, number: int) -> list[Run]:
    """Each form in turn on one database; afterwards the store must hold every job."""
    await install(contender, database)
    runs: list[Run] = []
    deferred = 0
    for form in forms(plan):
        if not contender.can(form.needs):
            reason = f"not offered: {form.needs}"
            runs.append(Run("defers", form.variant, contender.peer, number, 0, not_offered=reason))
            continue
        jobs = form_jobs(form, plan, contender)
        took_s = await _defer(contender, plan, database, form, jobs)
        deferred += jobs
        _, unfinished = await counted(contender, database)
        wrong = [] if unfinished == deferred else [f"{unfinished} jobs there, not {deferred}"]
        values = {"deferred_per_s": jobs / took_s}
        runs.append(
            Run("defers", form.variant, contender.peer, number, jobs, values, problems=wrong)
        )
    return runs


def forms(plan: Plan) -> tuple[Form, ...]:
    """Those that are measured."""
    return tuple(form for form in FORMS if form.quick or not plan.quick)


def form_jobs(form: Form, plan: Plan, contender: Contender) -> int:
    """How many jobs; no fewer than one for each caller, and one full batch.

    In batches no more than the peer can defer in reasonable time: some take them one by one inside.
    """
    jobs = int(form.jobs * plan.by_mode(quick=0.15, default=0.5, full=5))
    if form.needs == "batch" and plan.mode != "full":
        jobs = min(jobs, contender.sizes["memory_waiting"])
    return max(form.size, jobs)


async def _defer(contender: Contender, plan: Plan, database: str, form: Form, jobs: int) -> float:
    """The seconds that it took."""
    if form.needs == "batch":
        return await load(contender, plan, database, jobs, batch_size=form.size, installed=True)
    arguments = ["defers", "--jobs", str(jobs), "--mode", form.needs]
    arguments += ["--concurrency", str(form.size)]
    async with contender.start(*arguments, database=database) as process:
        said = await process.expect("deferred_all", LOAD_TIMEOUT_S)
        await process.ended(SHORT_TIMEOUT_S)
    return float(said["elapsed_ns"]) / 1e9


SCENARIO = Scenario(run, quick=False)
