"""What a server did while the lab worked: its counters before and after, and what it waited for."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from forthwith.bench.facts import oldest_snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forthwith.bench.place import Place

SAMPLE_INTERVAL_S = 0.25
RUNNING = "CPU"
_IDLE = "Client"

# PostgreSQL 17 moved the counters of checkpoints to a view of their own.
_CHECKPOINTS = (
    "select num_requested from pg_stat_checkpointer",
    "select checkpoints_req from pg_stat_bgwriter",
)
_VERSION_OF_CHECKPOINTER = 170000
# What the lab's sessions do at the moment. A session that waits for the client is at rest.
_WAITS = """
    select coalesce(wait_event_type, %s), coalesce(wait_event, %s) from pg_stat_activity
    where application_name = current_setting('application_name') and pid <> pg_backend_pid()
      and state = 'active' and datname = current_database()
"""


@dataclass(slots=True)
class Activity:
    """The sum over the runs."""

    checkpoints: int = 0
    """Checkpoints that the amount of WAL has forced, during the runs alone."""
    waits: Counter[str] = field(default_factory=Counter)
    """How often a session of the lab was seen at work (`CPU`) or waiting for something (its name)."""
    oldest_snapshot_transactions: int = 0

    def share(self, *names: str) -> float:
        """Return the share of these among all that was seen, from 0 to 1."""
        total = self.waits.total()
        return sum(self.waits[name] for name in names) / total if total else 0.0


@asynccontextmanager
async def observed(place: Place, activity: Activity) -> AsyncIterator[None]:
    """Add what happens in the block to `activity`."""
    async with await place.connect() as connection:
        before = await _checkpoints(connection)
        stop = asyncio.Event()
        sampler = asyncio.create_task(_sample(connection, activity, stop))
        try:
            yield
        finally:
            stop.set()
            with suppress(psycopg.Error):
                await sampler
        activity.checkpoints += await _checkpoints(connection) - before


async def _sample(
    connection: psycopg.AsyncConnection[Any], activity: Activity, stop: asyncio.Event
) -> None:
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), SAMPLE_INTERVAL_S)
        cursor = await connection.execute(_WAITS, [RUNNING, RUNNING])
        activity.waits.update(event for kind, event in await cursor.fetchall() if kind != _IDLE)
        age = await oldest_snapshot(connection)
        activity.oldest_snapshot_transactions = max(activity.oldest_snapshot_transactions, age)


async def _checkpoints(connection: psycopg.AsyncConnection[Any]) -> int:
    query = _CHECKPOINTS[connection.info.server_version < _VERSION_OF_CHECKPOINTER]
    [(count,)] = await (await connection.execute(query.encode())).fetchall()
    return int(count)
