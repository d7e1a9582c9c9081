"""S7: the burn-down while somebody holds a snapshot open: no dead row can be removed."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psycopg

from benchmarks.results import Run
from benchmarks.scenarios.checks import problems
from benchmarks.scenarios.commands import load, work
from benchmarks.scenarios.measures import read_times, scratch
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

PARTS = 10
JOBS_FULL = 1_000_000
# So many times the jobs of a burn-down, up to the size of a full run.
TIMES_DEFAULT = 2
TIMES_FULL = 10


async def run(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """A long queue, run beside an open snapshot; the pace of its first and of its last tenth."""
    times = TIMES_FULL if plan.mode == "full" else TIMES_DEFAULT
    jobs = min(times * contender.sizes["burn_down"], JOBS_FULL)
    await load(contender, plan, database, jobs)
    with scratch() as folder:
        async with _snapshot(database):
            worked = await work(
                contender, plan, database, jobs, target=jobs, times=folder / "started"
            )
        first, last = paces(read_times(folder / "started"))
    wrong = await problems(contender, database, worked, jobs, all_done=True)
    values = {
        "jobs_per_s_first": first,
        "jobs_per_s": last,
        "share_of_first": last / first,
    }
    return Run("old_snapshot", "", contender.peer, number, jobs, values, problems=wrong)


def paces(started_ns: list[int]) -> tuple[float, float]:
    """Jobs per second of the first tenth and of the last, by the times at which they started.

    The time of a tenth goes from its first start to its last.
    """
    started = sorted(at_ns for at_ns in started_ns if at_ns)
    size = max(2, len(started) // PARTS)
    return _pace(started[:size]), _pace(started[-size:])


def _pace(started_ns: list[int]) -> float:
    took_s = max(started_ns[-1] - started_ns[0], 1) / 1e9
    return (len(started_ns) - 1) / took_s


@asynccontextmanager
async def _snapshot(database: str) -> AsyncIterator[None]:
    """A session that sees the database as it is now, for as long as it lasts."""
    async with (
        await psycopg.AsyncConnection.connect(database, autocommit=True) as connection,
        connection.transaction(),
    ):
        await connection.execute("set transaction isolation level repeatable read")
        before = await _seen(connection)
        yield
        assert await _seen(connection) == before, "the snapshot was lost"


async def _seen(connection: psycopg.AsyncConnection) -> str:
    """Up to which transaction the session sees the database."""
    cursor = await connection.execute("select pg_current_snapshot()::text")
    [(snapshot,)] = await cursor.fetchall()
    return str(snapshot)


SCENARIO = Scenario(run, needs=("noop",), backends=("postgresql",), quick=False, default=False)
