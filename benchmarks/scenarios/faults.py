"""S10: producer and workers at once, while workers are killed and PostgreSQL restarts.

Two workers, each a process of its own, and a producer at half of the pace of `steady`: first in
peace, then with faults. Every two seconds one worker gets a SIGKILL, and is replaced at once; in the
middle the server, if it is ours, stops as in a crash and starts again. A worker that ends by
itself is replaced as a supervisor would. The producer opens anew when a defer fails, goes on with
the next batch, and counts what was acknowledged. Jobs may run twice; that is counted.
"""

from __future__ import annotations

import asyncio
import math
import time
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.results import Run
from benchmarks.scenarios.commands import counted, finish, install, produce, working
from benchmarks.scenarios.crew import WORKERS, Crew, crew
from benchmarks.scenarios.measures import read_times, scratch, throughput
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

# How fast a peer is, is measured for this long, at a pace that none reaches.
PACE_S = 3.0
MOST_PER_S = 100_000
PACE_BATCH = 100
BATCHES_PER_S = 100
KILL_INTERVAL_S = 2.0
# So long after the end jobs may still be finished.
PATIENCE_S = 60.0
LOOK_INTERVAL_S = 0.25
OURS = "forthwith"


class Outage(NamedTuple):
    """When the server was stopped, and when it answered again."""

    down_ns: int
    up_ns: int


class Outcome(NamedTuple):
    """What is known of a run afterwards; the lists hold a time for each job, 0 for never.

    `acknowledged` says when each job was deferred whose defer was answered; `started` has a list for
    each worker that ever worked.
    """

    acknowledged: list[int]
    started: list[list[int]]
    began_ns: int
    ended_ns: int
    outage: Outage | None
    kills: int
    ended_by_themselves: int
    drained_s: float
    succeeded: int
    unfinished: int


async def run(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """In peace and with faults, each on a fresh database and for the same time."""
    if is_node(contender):
        reason = "not offered: what a killed Node worker noted is lost with it"
        return Run("faults", "", contender.peer, number, 0, not_offered=reason)
    seconds = plan.by_mode(quick=8, default=20, full=30)
    rate = await _pace(contender, plan, database) / 2
    if not rate > 0:
        return Run("faults", "", contender.peer, number, 0, problems=["no job ran in peace"])
    with contender.fresh() as first:
        calm = await _under(contender, plan, first, rate, seconds, faults=False)
    with contender.fresh() as second:
        hit = await _under(contender, plan, second, rate, seconds, faults=True)
    values = {"rate": rate, **fault_values(hit, calm, history=contender.history)}
    jobs = sum(map(bool, hit.acknowledged))
    wrong = complaints(hit, calm, contender)
    return Run("faults", "", contender.peer, number, jobs, values, problems=wrong)


def is_node(contender: Contender) -> bool:
    """Whether it writes its times only at the end of a worker, and a killed one has none."""
    return Path(contender.command[0]).name == "node"


async def _pace(contender: Contender, plan: Plan, database: str) -> float:
    """Jobs a second of one worker beside a producer, both as fast as they can."""
    slots = int(MOST_PER_S * PACE_S)
    await install(contender, database)
    with scratch() as folder:
        deferred, started = folder / "deferred", folder / "started"
        async with working(contender, plan, database, slots, started) as worker:
            produced = await produce(
                contender, database, deferred, jobs=slots, seconds=PACE_S, batch_size=PACE_BATCH
            )
            await finish(worker)
        return throughput(read_times(started), produced["began_ns"], produced["ended_ns"])


async def _under(
    contender: Contender, plan: Plan, database: str, rate: float, seconds: float, *, faults: bool
) -> Outcome:
    slots = max(1, math.ceil(rate * seconds))
    outages: list[Outage] = []
    await install(contender, database)
    with scratch() as folder:
        async with crew(contender, plan, database, slots, folder) as workers:
            breaking = asyncio.create_task(
                _break(workers, contender, seconds if faults else 0.0, outages)
            )
            try:
                produced = await produce(
                    contender,
                    database,
                    folder / "deferred",
                    jobs=slots,
                    seconds=seconds,
                    batch_size=max(1, round(rate / BATCHES_PER_S)),
                    rate=rate,
                    patient=faults,
                )
                await breaking
            finally:
                breaking.cancel()
            drained_s = await _drain(contender, database)
        # A job that ends between two questions is in neither answer, so ask when nobody works.
        succeeded, unfinished = await counted(contender, database)
        return _outcome(folder, produced, workers, outages, drained_s, succeeded, unfinished)


def _outcome(
    folder: Path,
    produced: dict[str, Any],
    workers: Crew,
    outages: list[Outage],
    drained_s: float,
    succeeded: int,
    unfinished: int,
) -> Outcome:
    return Outcome(
        read_times(folder / "deferred"),
        # A worker that ended before it could map its file has none.
        [read_times(path) for path in workers.times if path.exists()],
        produced["began_ns"],
        produced["ended_ns"],
        outages[0] if outages else None,
        workers.kills,
        workers.ended_by_themselves,
        drained_s,
        succeeded,
        unfinished,
    )


async def _break(
    workers: Crew, contender: Contender, seconds: float, outages: list[Outage]
) -> None:
    """Do what the schedule says; the outage that it makes is added to `outages`."""
    restart = contender.backends.server.restart if contender.backend == "postgresql" else None
    began_s = time.monotonic()
    for at_s, place in schedule(seconds, restarts=restart is not None):
        await asyncio.sleep(max(0.0, began_s + at_s - time.monotonic()))
        if place is not None:
            await workers.kill(place)
        elif restart is not None:
            outages.append(await asyncio.to_thread(_restart, restart))


def _restart(restart: Callable[[], None]) -> Outage:
    down_ns = time.monotonic_ns()
    restart()
    return Outage(down_ns, time.monotonic_ns())


def schedule(seconds: float, *, restarts: bool) -> list[tuple[float, int | None]]:
    """At which second which worker is killed, or (None) the server restarts: in the middle."""
    count = int((seconds + KILL_INTERVAL_S / 2) // KILL_INTERVAL_S)
    kills: list[tuple[float, int | None]] = [
        ((index + 0.5) * KILL_INTERVAL_S, index % WORKERS) for index in range(count)
    ]
    restart = [(seconds / 2, None)] if restarts and seconds else []
    return sorted([*kills, *restart], key=lambda fault: fault[0])


async def _drain(contender: Contender, database: str) -> float:
    """Wait until the store has nothing left, or patience ends; the seconds that it took."""
    began_s = time.monotonic()
    while True:
        _, unfinished = await counted(contender, database)
        waited_s = time.monotonic() - began_s
        if not unfinished or waited_s > PATIENCE_S:
            return waited_s
        await asyncio.sleep(LOOK_INTERVAL_S)


def first_starts(started: list[list[int]]) -> list[int]:
    """When each job began for the first time, in whichever worker; 0 for never."""
    return [
        min((at_ns for at_ns in times if at_ns), default=0)
        for times in zip_longest(*started, fillvalue=0)
    ]


def fault_values(hit: Outcome, calm: Outcome, *, history: bool) -> dict[str, float]:
    """What the run under faults comes to, beside the one in peace."""
    starts = first_starts(hit.started)
    rate = throughput(starts, hit.began_ns, hit.ended_ns)
    in_peace = throughput(first_starts(calm.started), calm.began_ns, calm.ended_ns)
    return {
        "jobs_per_s": rate,
        "jobs_per_s_in_peace": in_peace,
        **({"share_of_peace": rate / in_peace} if in_peace else {}),
        **(recovery_values(hit.outage, hit.acknowledged, starts) if hit.outage else {}),
        "kills": float(hit.kills),
        "ended_by_themselves": float(hit.ended_by_themselves),
        "drained_s": hit.drained_s,
        "unfinished": float(hit.unfinished),
        "lost": float(lost(hit, history=history)),
        "second_runs": float(second_runs(hit.started)),
    }


def recovery_values(outage: Outage, acknowledged: list[int], starts: list[int]) -> dict[str, float]:
    """Seconds without a server, and from its return: to the first job, and to one deferred since.

    The first may be of those that a worker had in memory; the other waits for all that waits before
    it. Without such a job there is no value.
    """
    values = {"outage_s": (outage.up_ns - outage.down_ns) / 1e9}
    pairs = [
        (deferred, start)
        for deferred, start in zip_longest(acknowledged, starts, fillvalue=0)
        if start >= outage.up_ns
    ]
    fresh = [start for deferred, start in pairs if deferred >= outage.up_ns]
    for name, found in (("recovery_s", [start for _, start in pairs]), ("fresh_s", fresh)):
        if found:
            values[name] = (min(found) - outage.up_ns) / 1e9
    return values


def second_runs(started: list[list[int]]) -> int:
    """How often a job began again in another worker."""
    return sum(
        sum(map(bool, times)) - 1 for times in zip_longest(*started, fillvalue=0) if any(times)
    )


def lost(outcome: Outcome, *, history: bool) -> int:
    """Jobs that nobody has begun, or that the store knows neither as succeeded nor as left.

    What must be there: what was acknowledged, and what was not but began, so it was stored. A store
    without `history` cannot tell which succeeded, so the jobs that have begun are taken for those.
    """
    starts = first_starts(outcome.started)
    pairs = list(zip_longest(outcome.acknowledged, starts, fillvalue=0))
    stored = sum(bool(acknowledged or start) for acknowledged, start in pairs)
    begun = sum(map(bool, starts))
    done = min(outcome.succeeded, begun) if history else begun
    return max(0, stored - done - outcome.unfinished)


def complaints(hit: Outcome, calm: Outcome, contender: Contender) -> list[str]:
    """What is wrong. What a peer loses under faults is its figure here; of us it is a fault."""
    judged = [("in peace", calm)]
    judged += [("under faults", hit)] if contender.peer == OURS else []
    return [
        f"{count} jobs {word} {when}"
        for when, outcome in judged
        for word, count in (
            ("lost", lost(outcome, history=contender.history)),
            ("left", outcome.unfinished),
        )
        if count
    ]


SCENARIO = Scenario(
    run,
    needs=("noop", "stop"),
    backends=("postgresql", "redis"),
    rounds_full=1,
    quick=False,
    default=False,
)
