"""S11, on disk: what a job takes in the database while it waits, and when it has been done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg

from benchmarks.results import Run
from benchmarks.scenarios.checks import problems
from benchmarks.scenarios.commands import install, load, work
from benchmarks.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from benchmarks.scenarios.contender import Contender
    from benchmarks.scenarios.plan import Plan

MOST = 100_000
# Every table of the database that is not the server's own, with indexes and what is stored apart.
SIZE = """
select coalesce(sum(pg_total_relation_size(oid)), 0)::bigint from pg_class
where relkind in ('r', 'm') and relnamespace not in ('pg_catalog'::regnamespace,
    'information_schema'::regnamespace, 'pg_toast'::regnamespace)
"""


async def run(contender: Contender, plan: Plan, database: str, number: int) -> Run:
    """The tables' growth by waiting jobs, and what is left of it when all are done, each after a vacuum."""
    jobs = min(contender.sizes["burn_down"], MOST)
    await install(contender, database)
    at_first = await asyncio.to_thread(size, database)
    await load(contender, plan, database, jobs, installed=True)
    live = await asyncio.to_thread(size, database)
    worked = await work(contender, plan, database, jobs, target=jobs)
    finished = await asyncio.to_thread(size, database)
    wrong = await problems(contender, database, worked, jobs, all_done=True)
    values = {
        "live_bytes": (live - at_first) / jobs,
        "finished_bytes": (finished - at_first) / jobs,
    }
    return Run("disk", "", contender.peer, number, jobs, values, problems=wrong)


def size(database: str) -> int:
    """Bytes of all tables of the peer, once what is dead has been removed.

    `vacuum full` writes each anew: what is counted is the jobs, not the room that they once took.
    """
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("vacuum full")
        [(size,)] = connection.execute(SIZE.encode()).fetchall()
    return int(size)


SCENARIO = Scenario(run, needs=("noop",), backends=("postgresql",), quick=False, default=False)
