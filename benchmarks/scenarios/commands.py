"""The commands of a peer, run one by one: install, load, work, produce, count."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from benchmarks import server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from benchmarks import child
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

LOAD_TIMEOUT_S = 600.0
WORK_TIMEOUT_S = 600.0
SHORT_TIMEOUT_S = 60.0


async def install(contender: Contender, database: str) -> None:
    """Make the peer's schema."""
    async with contender.start("install", database=database) as process:
        await process.expect("installed", SHORT_TIMEOUT_S)
        await process.ended(SHORT_TIMEOUT_S)


async def load(
    contender: Contender,
    plan: Plan,
    database: str,
    jobs: int,
    *,
    kind: str = "noop",
    batch_size: int = 0,
    installed: bool = False,
) -> float:
    """Install, defer `jobs` in batches, settle. Returns the seconds that deferring took."""
    if not installed:
        await install(contender, database)
    sizes = ["--jobs", str(jobs), "--batch-size", str(batch_size or plan.batch_size)]
    async with contender.start("load", *sizes, "--kind", kind, database=database) as process:
        loaded = await process.expect("loaded", LOAD_TIMEOUT_S)
        await process.ended(SHORT_TIMEOUT_S)
    await settle(contender, database)
    return float(loaded["elapsed_ns"]) / 1e9


async def settle(contender: Contender, database: str) -> None:
    """Analyse and make a checkpoint, where the store is PostgreSQL."""
    if contender.backend == "postgresql":
        await asyncio.to_thread(server.prepare, database)


def work_arguments(
    plan: Plan,
    jobs: int,
    target: int,
    *,
    kind: str = "noop",
    concurrency: int = 0,
    processes: int = 0,
) -> list[str]:
    """The arguments of `work`."""
    numbers = ["--jobs", str(jobs), "--target", str(target)]
    numbers += ["--concurrency", str(concurrency or plan.concurrency), "--kind", kind]
    return ["work", *numbers, *(["--processes", str(processes)] if processes else [])]


async def work(
    contender: Contender,
    plan: Plan,
    database: str,
    jobs: int,
    target: int,
    *,
    kind: str = "noop",
    concurrency: int = 0,
    processes: int = 0,
    times: Path | None = None,
    timeout_s: float = WORK_TIMEOUT_S,
) -> dict[str, Any]:
    """One worker, until `target` jobs are done; with target == jobs until the store is empty."""
    arguments = work_arguments(
        plan, jobs, target, kind=kind, concurrency=concurrency, processes=processes
    )
    arguments += ["--times", str(times)] if times else []
    async with contender.start(*arguments, database=database) as process:
        worked = await process.expect("worked", timeout_s)
        await process.ended(SHORT_TIMEOUT_S)
    return worked


@contextlib.asynccontextmanager
async def working(
    contender: Contender,
    plan: Plan,
    database: str,
    slots: int,
    times: Path,
    *,
    processes: int = 0,
) -> AsyncIterator[child.Child]:
    """A worker that listens and works until `finish()` asks it to stop."""
    arguments = work_arguments(plan, slots, slots, processes=processes)
    arguments += ["--times", str(times), "--until-stopped"]
    async with contender.start(*arguments, database=database) as process:
        await process.expect("ready", SHORT_TIMEOUT_S)
        yield process


async def finish(worker: child.Child) -> dict[str, Any]:
    """Stop a worker of `working()`; what it says."""
    worker.stop()
    worked = await worker.expect("worked", SHORT_TIMEOUT_S)
    await worker.ended(SHORT_TIMEOUT_S)
    return worked


async def produce(
    contender: Contender,
    database: str,
    times: Path,
    *,
    jobs: int,
    seconds: float,
    batch_size: int,
    rate: float = 0.0,
    patient: bool = False,
) -> dict[str, Any]:
    """Defer for some seconds, in batches, at a rate (0: as fast as it can), at most `jobs`.

    A `patient` producer goes on when a defer fails; `times` has the jobs whose defer was answered.
    """
    sizes = ["--jobs", str(jobs), "--batch-size", str(batch_size), "--seconds", str(seconds)]
    arguments = ["produce", *sizes, "--rate", str(rate), "--times", str(times)]
    arguments += ["--patient"] if patient else []
    async with contender.start(*arguments, database=database) as process:
        produced = await process.expect("produced", seconds + LOAD_TIMEOUT_S)
        await process.ended(SHORT_TIMEOUT_S)
    return produced


async def counted(contender: Contender, database: str) -> tuple[int, int]:
    """How many jobs the peer's own store says have succeeded, and how many are left to do."""
    if contender.backend == "postgresql":
        described = contender.description
        succeeded = 0
        if described["succeeded_sql"]:
            succeeded = await asyncio.to_thread(server.count, database, described["succeeded_sql"])
        unfinished = await asyncio.to_thread(server.count, database, described["unfinished_sql"])
        return succeeded, unfinished
    async with contender.start("count", database=database) as process:
        said = await process.expect("counted", SHORT_TIMEOUT_S)
        await process.ended(SHORT_TIMEOUT_S)
    return int(said["succeeded"]), int(said["unfinished"])
