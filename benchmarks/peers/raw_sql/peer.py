"""Claim and archive in SQL alone, on one connection: a measure, not a queue.

No leases, no retries, no locks, no notifications, no tasks: two statements for each thousand jobs.
Nobody could use it: it shows what PostgreSQL itself takes for the same rows.
"""

from __future__ import annotations

import contextlib
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING

import psycopg

from benchmarks.peers.command import Count, Description, Kind, Order, Start, main
from benchmarks.peers.postgresql import looking
from benchmarks.peers.protocol import Sizes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

SCHEMA = """
create table job (
    id bigint generated always as identity primary key,
    number bigint not null,
    status text not null default 'todo',
    deferred_at timestamptz not null default now()
) with (fillfactor = 70);
create index job_todo on job (id) where status = 'todo';
create table finished_job (
    id bigint primary key, number bigint, deferred_at timestamptz, finished_at timestamptz
)
"""
UNFINISHED_SQL = "select count(*) from job"


class RawDeferrer:
    """Defers with one `insert` of many."""

    def __init__(self, connection: psycopg.AsyncConnection) -> None:
        self._connection = connection

    async def batch(self, _: Kind, numbers: Sequence[int]) -> None:
        """Insert many in one statement."""
        statement = "insert into job (number) select unnest(%s::bigint[])"
        await self._connection.execute(statement, [list(numbers)], prepare=True)

    async def one(self, kind: Kind, number: int) -> None:
        """Insert one."""
        await self.batch(kind, [number])

    async def singles(self, kind: Kind, numbers: Sequence[int], callers: int) -> None:
        """Not offered."""
        raise NotImplementedError


class RawPeer:
    """See `benchmarks.peers.command.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="raw SQL loop",
            version="",
            settings={
                "driver": f"psycopg {version('psycopg')}, one connection, prepared",
                "batches": "1,000 claimed at once, archived in one statement",
                "what it lacks": "leases, retries, locks, schedules, notifications, tasks",
            },
            sizes=Sizes(
                burn_down=100_000,
                burn_down_quick=40_000,
                memory_waiting=1_000_000,
                memory_waiting_quick=200_000,
                memory_drained=100_000,
            ),
            backend="postgresql",
            kinds=("noop",),
            abilities=("batch",),
            succeeded_sql="select count(*) from finished_job",
            unfinished_sql=UNFINISHED_SQL,
        )

    def start(self, order: Order) -> Start:
        """One process, one connection."""
        return Start(("benchmarks.peers.raw_sql.worker",), 1, order.concurrency, signal.SIGTERM)

    async def install(self, database: str) -> None:
        """Make two small tables."""
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await connection.execute(SCHEMA)

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[RawDeferrer]:
        """Open what inserts."""
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
            yield RawDeferrer(connection)

    def unfinished(
        self, database: str
    ) -> AbstractAsyncContextManager[Callable[[], Awaitable[int]]]:
        """Open a connection that looks."""
        return looking(database, UNFINISHED_SQL)

    async def count(self, database: str) -> Count:
        """Never asked: PostgreSQL is counted by SQL."""
        raise NotImplementedError


if __name__ == "__main__":
    main(RawPeer())
