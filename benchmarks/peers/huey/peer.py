"""Huey on SQLite: write-ahead log, every commit synced, results kept, worker processes.

It takes a job off the queue when it claims it, so a job whose worker dies is lost: nothing that can
be set changes that.
"""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from importlib.metadata import version
from typing import TYPE_CHECKING

from benchmarks.peers.command import (
    BlockingDeferrer,
    Count,
    Description,
    Kind,
    Order,
    Start,
    main,
)
from benchmarks.peers.huey.queue import make
from benchmarks.peers.protocol import Sizes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

WORKERS = 4
# SQLite lets one write at a time, so threads that only wait for each other gain nothing.
THREADS = 16
UNFINISHED = "select (select count(*) from task) + (select count(*) from schedule)"
SUCCEEDED = "select count(*) from kv"


class HueyPeer:
    """See `benchmarks.peers.command.Peer`."""

    def describe(self) -> Description:
        """Say what is measured."""
        return Description(
            name="Huey",
            version=version("huey"),
            settings={
                "storage": f"SQLite {sqlite3.sqlite_version}, write-ahead log, fsync on",
                "worker": f"{WORKERS} processes (thread jobs: up to {THREADS} threads)",
                "acknowledgement": "none: a job whose worker dies is lost",
                "polling": "0.1 s to 10 s (default)",
                "history": "results kept",
            },
            sizes=Sizes(
                burn_down=1_000,
                burn_down_quick=400,
                memory_waiting=4_000,
                memory_waiting_quick=1_500,
                memory_drained=600,
            ),
            backend="sqlite",
            kinds=("noop", "thread", "cpu", "fail_once"),
            abilities=("single", "processes", "stop"),
        )

    def start(self, order: Order) -> Start:
        """One consumer; what it is asked for in processes are its workers."""
        if order.kind == "thread" and not order.processes:
            worker, size = "thread", min(order.concurrency, THREADS)
        else:
            worker, size = "process", order.processes or WORKERS
        return Start(
            arguments=(
                *("huey.bin.huey_consumer", "benchmarks.peers.huey.tasks.huey"),
                *("--worker-type", worker, "--workers", str(size), "--quiet"),
            ),
            commands=1,
            concurrency=size,
            stop_signal=signal.SIGINT,
        )

    async def install(self, database: str) -> None:
        """Make its tables."""
        make(database, _nothing)

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[BlockingDeferrer]:
        """Open what defers."""
        queue, tasks = make(database, _nothing)

        def defer(kind: Kind, number: int) -> None:
            tasks[kind](number)

        try:
            yield BlockingDeferrer(defer)
        finally:
            queue.storage.close()

    @contextlib.asynccontextmanager
    async def unfinished(self, database: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
        """Count the tables of what waits."""
        with contextlib.closing(_connection(database)) as connection:

            async def look() -> int:
                return _number(connection, UNFINISHED)

            yield look

    async def count(self, database: str) -> Count:
        """Count the results; what failed for good has one too, which no kind of job here does."""
        with contextlib.closing(_connection(database)) as connection:
            return Count(_number(connection, SUCCEEDED), _number(connection, UNFINISHED))


def _nothing(kind: str, number: int) -> None:
    """What a task does where it is only deferred."""


def _connection(database: str) -> sqlite3.Connection:
    return sqlite3.connect(database.removeprefix("sqlite:///"))


def _number(connection: sqlite3.Connection, query: str) -> int:
    (found,) = connection.execute(query).fetchall()
    return int(found[0])


if __name__ == "__main__":
    main(HueyPeer())
