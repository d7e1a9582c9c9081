"""S12: ten workers that have nothing to do, and what they cost the server and the machine.

PostgreSQL counts transactions of a database, not statements (those need `pg_stat_statements`, which
the embedded server has not). An idle worker's statement is mostly a transaction of its own, so the
two are close. The counters are read from another database, so nothing that we ask is among them. A
backend hands its counts over at most once a second, and within ten seconds when it is idle; what
is late at the end was late at the beginning, too. Autovacuum's few transactions in the database are
in the number, for every peer alike. Redis counts commands, those that its scripts call included.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from benchmarks.results import Run
from benchmarks.scenarios import cpu
from benchmarks.scenarios.commands import SHORT_TIMEOUT_S, finish, install, work_arguments
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.child import Child
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

WORKERS = 10
# Connections are open, caches filled, what is done once after the start is done, and who is idle knows it.
WARM_UP_S = 30.0
WARM_UP_QUICK_S = 10.0
# Reading Redis' counters asks for them, after a password.
REDIS_READING_COMMANDS = 2
TRANSACTIONS = "select xact_commit + xact_rollback from pg_stat_database where datname = %s"


class Reading(NamedTuple):
    """Counters since some beginning: what the server was asked, and CPU seconds (None: unknown)."""

    at_s: float
    asked: int
    workers_s: float | None
    server_s: float | None


async def run(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """Ten worker processes on an empty queue; the counters before and after some time."""
    seconds = plan.by_mode(quick=5, default=20, full=60)
    await install(contender, database)
    async with _crew(contender, plan, database) as workers:
        server = await asyncio.to_thread(cpu.server_pid, contender, database)
        await asyncio.sleep(plan.by_mode(quick=WARM_UP_QUICK_S, default=WARM_UP_S, full=WARM_UP_S))
        before = await asyncio.to_thread(_read, contender, database, workers, server)
        await asyncio.sleep(seconds)
        after = await asyncio.to_thread(_read, contender, database, workers, server)
        await asyncio.gather(*(finish(worker) for worker in workers))
    values = idle_values(before, after, contender.backend)
    return Run("idle", "", contender.peer, number, 0, values)


@contextlib.asynccontextmanager
async def _crew(contender: Contender, plan: Plan, database: str) -> AsyncIterator[list[Child]]:
    """Workers of one process each, all of which listen."""
    arguments = [*work_arguments(plan, 1, 1, processes=1), "--until-stopped"]
    async with contextlib.AsyncExitStack() as stack:
        workers = [
            await stack.enter_async_context(contender.start(*arguments, database=database))
            for _ in range(WORKERS)
        ]
        await asyncio.gather(*(worker.expect("ready", SHORT_TIMEOUT_S) for worker in workers))
        yield workers


def _read(contender: Contender, database: str, workers: list[Child], server: int | None) -> Reading:
    known = cpu.counts()
    return Reading(
        time.monotonic(),
        _asked(contender, database),
        sum(cpu.workers_s(worker.pid) for worker in workers) if known else None,
        cpu.tree_s(server) if known and server is not None else None,
    )


def _asked(contender: Contender, database: str) -> int:
    if contender.backend == "redis":
        return int(cpu.redis_info(database, "stats")["total_commands_processed"])
    with contender.backends.server.connect() as connection:
        (found,) = connection.execute(TRANSACTIONS, [urlsplit(database).path[1:]]).fetchall()
        return int(found[0])


def idle_values(before: Reading, after: Reading, backend: str) -> dict[str, float]:
    """A minute's transactions or commands of one worker, and CPU seconds of all workers and the server."""
    minutes = (after.at_s - before.at_s) / 60
    asked = after.asked - before.asked
    if backend == "redis":
        values = {"commands_per_min": (asked - REDIS_READING_COMMANDS) / WORKERS / minutes}
    else:
        values = {"transactions_per_min": asked / WORKERS / minutes}
    spent = {
        "workers_cpu_s_per_min": (before.workers_s, after.workers_s),
        "server_cpu_s_per_min": (before.server_s, after.server_s),
    }
    for name, (earlier, later) in spent.items():
        if earlier is not None and later is not None:
            values[name] = (later - earlier) / minutes
    return values


SCENARIO = Scenario(
    run,
    needs=("noop", "stop"),
    backends=("postgresql", "redis"),
    rounds_full=1,
    quick=False,
    default=False,
)
