"""What scenarios share: who is measured, how large, and the commands of a peer, run one by one."""

from __future__ import annotations

import array
import asyncio
import contextlib
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import child, server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from benchmarks.backends import Backends
    from benchmarks.results import Run

LOAD_TIMEOUT_S = 600.0
WORK_TIMEOUT_S = 600.0
SHORT_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Contender:
    """A peer that is set up: its folder, what runs it, its description, and its store."""

    peer: str
    command: list[str]
    description: dict[str, Any]
    backends: Backends

    @property
    def sizes(self) -> dict[str, int]:
        """How many jobs suit it."""
        sizes: dict[str, int] = self.description["sizes"]
        return sizes

    @property
    def backend(self) -> str:
        """Where it keeps its jobs."""
        return str(self.description.get("backend", "postgresql"))

    @property
    def history(self) -> bool:
        """Whether it keeps finished jobs, so that they can be counted."""
        return bool(self.description.get("history", True))

    def can(self, ability: str) -> bool:
        """Whether it offers this kind of job, or has this ability."""
        described = self.description
        return ability in (*described.get("kinds", ()), *described.get("abilities", ()))

    def fresh(self) -> AbstractContextManager[str]:
        """Another fresh database, for a scenario that needs more than one."""
        return self.backends.database(self.backend)

    def start(self, *arguments: str, database: str) -> AbstractAsyncContextManager[child.Child]:
        """Start a command of the peer."""
        return child.start(self.command, self.peer, *arguments, "--database", database)


@dataclass(frozen=True, slots=True)
class Plan:
    """How large the runs are: quick, default or full."""

    mode: str
    concurrency: int
    batch_size: int

    @property
    def quick(self) -> bool:
        """Whether small runs are asked for."""
        return self.mode == "quick"

    def by_mode(self, *, quick: float, default: float, full: float) -> float:
        """The one of three that fits."""
        return {"quick": quick, "default": default, "full": full}[self.mode]

    def size(self, *, quick: int, default: int, full: int) -> int:
        """The one of three whole numbers that fits."""
        return int(self.by_mode(quick=quick, default=default, full=full))

    def burn_down_jobs(self, contender: Contender) -> int:
        """As many jobs as make the run a few seconds long."""
        return contender.sizes["burn_down_quick" if self.quick else "burn_down"]

    def short_jobs(self, contender: Contender, most: int) -> int:
        """A short run's jobs: half of a quick burn-down (full: all of it), at most `most`."""
        share = 1 if self.mode == "full" else 2
        return max(1, min(contender.sizes["burn_down_quick"] // share, most))

    def memory_waiting(self, contender: Contender) -> int:
        """As many waiting jobs as can be deferred in reasonable time."""
        return contender.sizes["memory_waiting_quick" if self.quick else "memory_waiting"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario: how a run of it goes, what a peer needs for it, and how many rounds it gets.

    `run` gets the contender, the plan, a fresh database and the number of the round.
    `needs` are kinds and abilities that a peer must all have; `backends` those that it fits.
    `quick` says whether it takes part with `--quick`, `default` whether without `--full`.
    """

    run: Callable[[Contender, Plan, str, int], Awaitable[Run | list[Run]]]
    needs: tuple[str, ...] = ()
    backends: tuple[str, ...] = ("postgresql", "redis", "sqlite")
    rounds: int = 1
    rounds_quick: int = 1
    rounds_full: int = 3
    quick: bool = True
    default: bool = True

    def takes_part(self, mode: str) -> bool:
        """Whether it is run in a mode when nobody asks for it by name."""
        return {"quick": self.quick, "default": self.default, "full": True}[mode]

    def rounds_of(self, mode: str) -> int:
        """How many rounds it has in a mode."""
        if mode == "quick":
            return self.rounds_quick
        return self.rounds_full if mode == "full" else self.rounds

    def missing(self, contender: Contender) -> str:
        """Why this peer cannot take part; empty if it can."""
        if contender.backend not in self.backends:
            return f"not for {contender.backend}"
        lacking = [need for need in self.needs if not contender.can(need)]
        return f"not offered: {', '.join(lacking)}" if lacking else ""


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


async def problems(
    contender: Contender,
    database: str,
    worked: dict[str, Any],
    jobs: int,
    *,
    all_done: bool,
    slots: int = 0,
    stopped: bool = False,
) -> list[str]:
    """What is wrong after a run. The peer's own store is asked, not the worker.

    `slots` says how many jobs the worker was told of, where that is not `jobs`. A worker that was
    `stopped` amid its work may leave jobs that ran but are not recorded: those would run again.
    """
    succeeded, unfinished = await counted(contender, database)
    once = worked["ran_once"]
    if not contender.history:
        succeeded = once
    if stopped and succeeded < once:
        once = succeeded
    doubled = (slots or jobs) - worked["ran_once"] - worked["ran_never"]
    return complaints(doubled, once, jobs, succeeded, unfinished, all_done=all_done)


def complaints(
    doubled: int, once: int, jobs: int, succeeded: int, unfinished: int, *, all_done: bool
) -> list[str]:
    """What does not add up, in words."""
    checks = {
        f"{doubled} job(s) ran more than once": doubled != 0,
        f"{succeeded} jobs in the history, but {once} ran once": succeeded != once,
        f"{jobs - succeeded - unfinished} of {jobs} jobs lost": succeeded + unfinished != jobs,
        f"{unfinished} jobs left over": all_done and unfinished != 0,
    }
    return [problem for problem, wrong in checks.items() if wrong]


def seconds(worked: dict[str, Any], since: str = "began_ns") -> float:
    """How long the worker worked."""
    return float(worked["ended_ns"] - worked[since]) / 1e9


def memory_values(worked: dict[str, Any]) -> dict[str, float]:
    """What the operating system says; nothing where it has no /proc."""
    if not worked["memory_after"]:
        return {}
    return {
        "rss_before_mib": worked["memory_before"].get("rss_kib", 0) / 1024,
        "rss_peak_mib": worked["memory_after"]["rss_peak_kib"] / 1024,
    }


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for files of times, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Path(folder)


def read_times(path: Path) -> list[int]:
    """What a file of times holds: a number of nanoseconds for each job, 0 for never."""
    found = array.array("q")
    found.frombytes(path.read_bytes())
    return found.tolist()


def latencies_ms(deferred: list[int], started: list[int], jobs: int) -> list[float]:
    """From defer to start, of the first `jobs` jobs that did start."""
    pairs = zip(deferred[:jobs], started[:jobs], strict=True)
    return [(start - defer) / 1e6 for defer, start in pairs if start]


def throughput(started: list[int], began_ns: int, ended_ns: int) -> float:
    """Jobs that started in a window, per second."""
    if ended_ns <= began_ns:
        return math.nan
    within = sum(began_ns <= start <= ended_ns for start in started)
    return within / ((ended_ns - began_ns) / 1e9)
