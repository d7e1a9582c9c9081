"""S8: the burn-down of S1 with one, two and four worker processes, and what was busy meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.results import Run
from benchmarks.scenarios import cpu
from benchmarks.scenarios.checks import problems
from benchmarks.scenarios.commands import SHORT_TIMEOUT_S, WORK_TIMEOUT_S, load, work_arguments
from benchmarks.scenarios.measures import seconds
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any

    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

PROCESSES = (1, 2, 4)
SAMPLE_INTERVAL_S = 0.05
# Looking at a hundred backends takes milliseconds, on cores that the workers need.
LOOKING_SHARE = 0.05


class Sample(NamedTuple):
    """CPU seconds since some beginning: of all our cores, of the server, of the workers."""

    at_ns: int
    cores_s: float
    server_s: float
    workers_s: float


async def run(contender: Contender, plan: Plan, database: str, number: int) -> list[Run]:
    """Each number of processes on a fresh database, with the same number of jobs."""
    del database  # each number of processes has one of its own
    found: list[Run] = []
    for processes in PROCESSES:
        one = found[0].values.get("jobs_per_s") if found else None
        found.append(await _form(contender, plan, number, processes, one))
    return found


async def _form(
    contender: Contender, plan: Plan, number: int, processes: int, one: float | None
) -> Run:
    jobs = contender.sizes["burn_down" if plan.mode == "full" else "burn_down_quick"]
    with contender.fresh() as database:
        await load(contender, plan, database, jobs)
        worked, samples = await _work(contender, plan, database, jobs, processes)
        wrong = await problems(contender, database, worked, jobs, all_done=True)
    rate = jobs / seconds(worked)
    values = {
        "jobs_per_s": rate,
        **({"share_of_linear": share_of_linear(rate, processes, one)} if one else {}),
        **busy_values(samples, worked["began_ns"], worked["ended_ns"]),
    }
    return Run("processes", str(processes), contender.peer, number, jobs, values, problems=wrong)


async def _work(
    contender: Contender, plan: Plan, database: str, jobs: int, processes: int
) -> tuple[dict[str, Any], list[Sample]]:
    """One worker of so many processes; what it says, and what was busy while it worked."""
    arguments = work_arguments(plan, jobs, jobs, processes=processes)
    async with (
        contender.start(*arguments, database=database) as worker,
        _sampled(contender, database, worker.pid) as samples,
    ):
        worked = await worker.expect("worked", WORK_TIMEOUT_S)
        await worker.ended(SHORT_TIMEOUT_S)
    return worked, samples


@contextlib.asynccontextmanager
async def _sampled(contender: Contender, database: str, worker: int) -> AsyncIterator[list[Sample]]:
    """Samples while the block runs; none where the machine or the server does not tell."""
    samples: list[Sample] = []
    server = await asyncio.to_thread(cpu.server_pid, contender, database)
    if server is None or not cpu.counts():
        yield samples
        return
    sampling = asyncio.create_task(_sample(samples, server, worker))
    try:
        yield samples
    finally:
        sampling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sampling


async def _sample(samples: list[Sample], server: int, worker: int) -> None:
    cores = cpu.usable()
    while True:
        now_ns = time.monotonic_ns()
        busy = cpu.busy_s(cores), cpu.tree_s(server), cpu.workers_s(worker)
        samples.append(Sample(now_ns, *busy))
        took_s = (time.monotonic_ns() - now_ns) / 1e9
        await asyncio.sleep(max(SAMPLE_INTERVAL_S, took_s / LOOKING_SHARE))


def share_of_linear(rate: float, processes: int, one: float) -> float:
    """How much of `processes` times the rate of one process was reached."""
    return rate / (processes * one)


def busy_values(samples: list[Sample], began_ns: int, ended_ns: int) -> dict[str, float]:
    """Cores busy on average between two moments: with anything, with the server, with the workers."""
    within = [sample for sample in samples if began_ns <= sample.at_ns <= ended_ns]
    if len(within) < 2:
        return {}
    first, last = within[0], within[-1]
    span_s = (last.at_ns - first.at_ns) / 1e9
    return {
        "cores": float(len(cpu.usable())),
        "cores_busy": (last.cores_s - first.cores_s) / span_s,
        "cores_server": (last.server_s - first.server_s) / span_s,
        "cores_workers": (last.workers_s - first.workers_s) / span_s,
    }


SCENARIO = Scenario(run, needs=("noop", "processes"), quick=False, default=False)
