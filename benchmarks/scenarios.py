"""What is measured: burn_down, pickup and memory. Each run has a fresh database and checks it."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import child, server
from benchmarks.results import Run, percentile

if TYPE_CHECKING:
    from pathlib import Path

LOAD_TIMEOUT_S = 600.0
WORK_TIMEOUT_S = 600.0
SHORT_TIMEOUT_S = 60.0
# Pick-up: the worker is idle again after this, and the phase of its polling is never the same.
PICKUP_PAUSE_S = (0.010, 0.050)
PICKUP_WARM_UP = 10


@dataclass(frozen=True, slots=True)
class Contender:
    """A peer that is set up: its folder, its Python and its description."""

    peer: str
    python: Path
    description: dict[str, Any]

    @property
    def sizes(self) -> dict[str, int]:
        """How many jobs suit it."""
        sizes: dict[str, int] = self.description["sizes"]
        return sizes


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the runs are."""

    quick: bool
    concurrency: int
    batch_size: int
    pickups: int

    def burn_down_jobs(self, contender: Contender) -> int:
        """As many jobs as make the run a few seconds long."""
        return contender.sizes["burn_down_quick" if self.quick else "burn_down"]

    def memory_waiting(self, contender: Contender) -> int:
        """As many waiting jobs as can be deferred in reasonable time."""
        return contender.sizes["memory_waiting_quick" if self.quick else "memory_waiting"]


async def burn_down(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """Defer N jobs; then one worker runs them all, and the database says when they are done."""
    jobs = plan.burn_down_jobs(contender)
    load_s = await _load(contender, plan, database, jobs)
    worked = await _work(contender, plan, database, jobs, target=jobs)
    run_s, after_first_s = _seconds(worked, "began_ns"), _seconds(worked, "first_ns")
    values = {
        "jobs_per_s": jobs / run_s,
        "jobs_per_s_from_first_start": jobs / after_first_s,
        "deferred_per_s": jobs / load_s,
        **_memory_values(worked),
    }
    problems = _problems(contender, database, worked, jobs, all_done=True)
    return Run("burn_down", "", contender.peer, number, jobs, values, problems=problems)


async def memory(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """The worker's resident set while it drains part of a long queue."""
    waiting = plan.memory_waiting(contender)
    drained = min(contender.sizes["memory_drained"], waiting // 2)
    await _load(contender, plan, database, waiting)
    worked = await _work(contender, plan, database, waiting, target=drained)
    values = {"waiting": waiting, "drained": worked["runs"], **_memory_values(worked)}
    problems = _problems(contender, database, worked, waiting, all_done=False)
    return Run("memory", "", contender.peer, number, waiting, values, problems=problems)


async def pickup(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """An idle worker; another process defers one job at a time: from the call to the start."""
    jobs = plan.pickups + PICKUP_WARM_UP
    pauses = random.Random(number)
    await _install(contender, database)
    command = ["work", "--jobs", str(jobs), "--target", str(jobs), "--announce"]
    concurrency = ["--concurrency", str(plan.concurrency)]
    async with (
        child.start(
            contender.python, contender.peer, *command, *concurrency, "--database", database
        ) as worker,
        child.start(contender.python, contender.peer, "defer", "--database", database) as deferrer,
    ):
        samples = [await _pickup(deferrer, worker, job, pauses) for job in range(jobs)]
        worked = await worker.expect("worked", SHORT_TIMEOUT_S)
        await worker.ended(SHORT_TIMEOUT_S)
    measured = samples[PICKUP_WARM_UP:]
    values = {
        "p50_ms": percentile(measured, 0.5),
        "p99_ms": percentile(measured, 0.99),
        "max_ms": max(measured),
    }
    problems = _problems(contender, database, worked, jobs, all_done=True)
    samples_ms = {"pickup_ms": [round(sample, 3) for sample in measured]}
    return Run("pickup", "", contender.peer, number, jobs, values, samples_ms, problems)


SCENARIOS = {"burn_down": burn_down, "pickup": pickup, "memory": memory}


async def _pickup(
    deferrer: child.Child, worker: child.Child, job: int, pauses: random.Random
) -> float:
    await asyncio.sleep(pauses.uniform(*PICKUP_PAUSE_S))
    await deferrer.write(str(job))
    deferred, ran = await asyncio.gather(
        deferrer.expect("deferred", SHORT_TIMEOUT_S), worker.expect("ran", SHORT_TIMEOUT_S)
    )
    return float(ran["at_ns"] - deferred["before_ns"]) / 1e6


async def _install(contender: Contender, database: str) -> None:
    async with child.start(
        contender.python, contender.peer, "install", "--database", database
    ) as process:
        await process.expect("installed", SHORT_TIMEOUT_S)
        await process.ended(SHORT_TIMEOUT_S)


async def _load(contender: Contender, plan: Plan, database: str, jobs: int) -> float:
    """Install, defer `jobs` in batches, settle. Returns the seconds that deferring took."""
    await _install(contender, database)
    sizes = ["--jobs", str(jobs), "--batch-size", str(plan.batch_size)]
    async with child.start(
        contender.python, contender.peer, "load", *sizes, "--database", database
    ) as process:
        loaded = await process.expect("loaded", LOAD_TIMEOUT_S)
        await process.ended(SHORT_TIMEOUT_S)
    await asyncio.to_thread(server.prepare, database)
    return float(loaded["elapsed_ns"]) / 1e9


async def _work(
    contender: Contender, plan: Plan, database: str, jobs: int, target: int
) -> dict[str, Any]:
    numbers = ["--jobs", str(jobs), "--target", str(target), "--concurrency", str(plan.concurrency)]
    async with child.start(
        contender.python, contender.peer, "work", *numbers, "--database", database
    ) as process:
        worked = await process.expect("worked", WORK_TIMEOUT_S)
        await process.ended(SHORT_TIMEOUT_S)
    return worked


def _seconds(worked: dict[str, Any], since: str) -> float:
    return float(worked["ended_ns"] - worked[since]) / 1e9


def _memory_values(worked: dict[str, Any]) -> dict[str, float]:
    """What the operating system says; nothing where it has no /proc."""
    if not worked["memory_after"]:
        return {}
    return {
        "rss_before_mib": worked["memory_before"]["rss_kib"] / 1024,
        "rss_peak_mib": worked["memory_after"]["rss_peak_kib"] / 1024,
    }


def _problems(
    contender: Contender, database: str, worked: dict[str, Any], jobs: int, *, all_done: bool
) -> list[str]:
    """What is wrong in the database after a run. The peer's own tables are asked, by our query."""
    succeeded = server.count(database, contender.description["succeeded_sql"])
    unfinished = server.count(database, contender.description["unfinished_sql"])
    once, never = worked["ran_once"], worked["ran_never"]
    checks = {
        f"{jobs - once - never} job(s) ran more than once": once + never != jobs,
        f"{succeeded} jobs in the history, but {once} ran once": succeeded != once,
        f"{jobs - succeeded - unfinished} of {jobs} jobs lost": succeeded + unfinished != jobs,
        f"{unfinished} jobs left over": all_done and unfinished != 0,
    }
    return [problem for problem, wrong in checks.items() if wrong]
