"""A worker's statements, on connections of their own. A method per query; the SQL says what it means."""

from __future__ import annotations

import functools
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from forthwith.database.line import Line
from forthwith.engine.ports import Outlook, Rescued, Share
from forthwith.engine.watch import Look, Sighting
from forthwith.job import ClaimedJob
from forthwith.store.arrays import written
from forthwith.store.completing import Completing
from forthwith.store.keeping import Keeping
from forthwith.store.listening import PROBE_LIMIT_S, listen
from forthwith.store.own_session import OWN_SESSION
from forthwith.store.progress import Progress
from forthwith.store.recording import Recording
from forthwith.store.statements import DEFAULT_SCHEMA, channel_of, done_channel_of, statements
from forthwith.store.tallies import Tallies
from forthwith.store.traces import Traces

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import psycopg

    from forthwith.database.database import Database
    from forthwith.engine.ports import Claim, KeptResult
    from forthwith.engine.watch import Gone
    from forthwith.outcome import Outcome

# The hot statements have one right plan, by index, however many rows the table seems to have: its
# statistics are always out of date. A statement that hangs is as good as a lost connection; it ends
# before the connection does for want of an answer (ANSWER_LIMIT_S of database/watched.py). And a transaction
# whose next statement does not come (its worker is frozen, or its packets vanish) soon lets go of its rows:
# nobody can rescue these jobs before.
IDLE_IN_TRANSACTION_MAX_S = 5
HOT_SETTINGS = f"""
    {OWN_SESSION}
    set enable_seqscan = off;
    set enable_bitmapscan = off;
    set enable_hashjoin = off;
    set enable_mergejoin = off;
    set plan_cache_mode = force_generic_plan;
    set jit = off;
    set statement_timeout = '15s';
    set idle_in_transaction_session_timeout = '{IDLE_IN_TRANSACTION_MAX_S}s'
"""
# Where it stands still between two messages of a pipeline, the server takes it for busy. Then this ends the
# transaction, from PostgreSQL 17 on; before, the end of the connection does.
COMPLETION_LIMIT = """;
    select set_config(name, '10s', false) from pg_settings where name = 'transaction_timeout'
"""
COMPLETION_SETTINGS = HOT_SETTINGS + COMPLETION_LIMIT
UPKEEP_SETTINGS = f"{OWN_SESSION} set jit = off; set statement_timeout = '15s'"
LOOK_BATCH_SIZE = 2000
TALLY_RETENTION_S = 8 * 86_400.0
TRACE_RETENTION_S = 7 * 86_400.0
NO_RESULTS: Mapping[Any, Any] = MappingProxyType({})


class PostgresStore:
    """Fits the engine's `JobStore`."""

    def __init__(
        self,
        database: Database,
        *,
        schema: str = DEFAULT_SCHEMA,
        keeps: Callable[[str], bool] = lambda _status: True,
        history_retention_s: float | None = None,
    ) -> None:
        self._statements = statements(schema)
        self._channel = channel_of(schema)
        self._done_channel = done_channel_of(schema)
        self._keeps = keeps
        self._history_retention_s = history_retention_s
        self._claims = Line(database, settings=HOT_SETTINGS)
        self._completions = Line(database, settings=COMPLETION_SETTINGS)
        self._upkeep = Line(database, settings=UPKEEP_SETTINGS)
        self._pruning = Line(database, settings=UPKEEP_SETTINGS)
        self._listening = Line(database, settings=OWN_SESSION, answer_limit_s=PROBE_LIMIT_S)
        self.completing = Completing(database, self._upkeep, schema=schema, keeps=keeps)
        self.tallies = Tallies(self._upkeep, schema=schema)
        self.traces = Traces(self._claims, schema=schema)
        self.progress = Progress(self._upkeep, schema=schema)

    async def look(self, queues: Sequence[str] | None) -> Outlook:
        async with self._claims.use() as connection:
            async with connection.pipeline():
                promoted = await self._on(connection, "promote_due", limit=LOOK_BATCH_SIZE)
                arrived = await self._on(connection, "sort_lines", batch_size=LOOK_BATCH_SIZE)
                ready = await self._on(connection, "ready_queues", queues=_listed(queues))
                outlook = await self._on(connection, "outlook")
            batches = [(await cursor.fetchall())[0][0] for cursor in (promoted, arrived)]
            next_due_s, has_suspects = (await outlook.fetchall())[0]
            return Outlook(
                queues=[queue for (queue,) in await ready.fetchall()],
                next_due_s=next_due_s,
                has_suspects=has_suspects,
                more_to_sort=max(batches) >= LOOK_BATCH_SIZE,
            )

    async def share_out(
        self, shares: Sequence[Share], limit: int, unknown_tasks: Sequence[str]
    ) -> list[Share]:
        after = {share.queue: share.after for share in shares}
        async with self._claims.use() as connection:
            cursor = await self._on(
                connection,
                "claim_shares",
                **_positions(shares),
                limit=limit,
                unknown_tasks=list(unknown_tasks),
            )
            return [Share(queue, size, after[queue]) for queue, size in await cursor.fetchall()]

    async def claim(
        self,
        shares: Sequence[Share],
        unknown_tasks: Sequence[str],
        worker_id: int,
        *,
        crashed_too: bool = True,
    ) -> list[ClaimedJob]:
        async with self._claims.use() as connection:
            cursor = await self._on(
                connection,
                "claim",
                **_positions(shares),
                limits=[share.size for share in shares],
                unknown_tasks=list(unknown_tasks),
                crashed_too=crashed_too,
                worker_id=worker_id,
            )
            return list(map(_claimed_job, await cursor.fetchall()))

    async def claim_suspect(
        self, queues: Sequence[str] | None, unknown_tasks: Sequence[str], worker_id: int
    ) -> list[ClaimedJob]:
        async with self._claims.use() as connection:
            cursor = await self._on(
                connection,
                "claim_suspect",
                queues=_listed(queues),
                unknown_tasks=list(unknown_tasks),
                worker_id=worker_id,
            )
            return [ClaimedJob._make(row) for row in await cursor.fetchall()]

    async def set_sleeping(self, worker_id: int, *, sleeping: bool) -> None:
        async with self._claims.use() as connection:
            await self._on(connection, "set_sleeping", worker_id=worker_id, sleeping=sleeping)

    async def has_open_defers(self) -> bool:
        async with self._claims.use() as connection:
            [(has_any,)] = await (await self._on(connection, "has_open_defers")).fetchall()
            return bool(has_any)

    async def complete(
        self,
        outcomes: Sequence[Outcome],
        *,
        repeated: bool,
        results: Mapping[Claim, KeptResult | None] = NO_RESULTS,
    ) -> set[int]:
        recording = Recording(outcomes, self._keeps)
        async with self._completions.use() as connection:
            if recording.is_plain and not repeated and not results:
                cursor = await self._on(connection, "complete", **recording.ends[0])
                return {job_id for (job_id,) in await cursor.fetchall()}
            async with connection.pipeline() as pipeline, connection.transaction():
                accepted = await self._record(connection, pipeline, recording)
                for name, parameters in Keeping(outcomes, results, accepted).statements(
                    self._done_channel
                ):
                    await self._on(connection, name, **parameters)
                if repeated:
                    accepted |= await self._recorded_before(
                        connection, pipeline, recording, accepted
                    )
                return accepted

    async def _record(
        self,
        connection: psycopg.AsyncConnection[Any],
        pipeline: psycopg.AsyncPipeline,
        recording: Recording,
    ) -> set[int]:
        cursors = [
            await self._on(connection, name, **parameters)
            for name, parameters in recording.statements()
        ]  # all sent before the first answer is awaited
        # Until it is told that this is all for now, the server takes the transaction for busy, and would
        # wait for a worker that is frozen here for as long as the connection lasts.
        await pipeline.sync()
        accepted = {job_id for cursor in cursors for (job_id,) in await cursor.fetchall()}
        failures = recording.failures_of(accepted)
        if failures["job_ids"]:
            await self._on(connection, "record_failures", **failures)
        if locks := recording.locks_of(accepted):
            await self._on(connection, "advance_lines", locks=locks)
        if queues := recording.given_back_in(accepted):
            await self._on(connection, "wake", queues=queues)
        return accepted

    async def _recorded_before(
        self,
        connection: psycopg.AsyncConnection[Any],
        pipeline: psycopg.AsyncPipeline,
        recording: Recording,
        accepted: set[int],
    ) -> set[int]:
        """Which of the refused outcomes did the first sending record, whose answer was lost?"""
        recorded = set(recording.released_ids)  # given back by one or the other: the same
        attempts = recording.attempts_but(accepted)
        cursors = [
            await self._on(connection, name, **parameters)
            for name, parameters in (("recorded", recording.ended), ("attempts_recorded", attempts))
        ]
        await pipeline.sync()
        for cursor in cursors:
            recorded.update(job_id for (job_id,) in await cursor.fetchall())
        return recorded

    async def mark_started(self, job: ClaimedJob) -> bool:
        async with self._upkeep.use() as connection:
            cursor = await self._on(
                connection, "mark_started", id=job.id, lease_token=job.lease_token
            )
            return await cursor.fetchone() is not None

    async def release_orphans(self, worker_id: int, known_ids: Sequence[int]) -> list[int]:
        async with self._upkeep.use() as connection:
            cursor = await self._on(
                connection,
                "release_orphans",
                worker_id=worker_id,
                known_ids=list(known_ids),
            )
            return [job_id for (job_id,) in await cursor.fetchall()]

    async def abort_requested(self, ids: Sequence[int]) -> list[int]:
        async with self._upkeep.use() as connection:
            cursor = await self._on(connection, "abort_requested", ids=list(ids))
            return [job_id for (job_id,) in await cursor.fetchall()]

    async def paused_queues(self) -> list[str]:
        async with self._upkeep.use() as connection:
            cursor = await self._on(connection, "paused_queues")
            return [queue for queue, _ in await cursor.fetchall()]

    async def look_at_workers(self, doubted_ids: Sequence[int]) -> Look:
        async with self._upkeep.use() as connection:
            asked_s = time.monotonic()
            cursor = await self._on(connection, "look_at_workers", doubted_ids=list(doubted_ids))
            sightings = [Sighting._make(row) for row in await cursor.fetchall()]
            session = connection.info.backend_pid
            return Look(session, asked_s, time.monotonic(), sightings)

    async def rescue(self, gone: Sequence[Gone], limit: int) -> list[Rescued]:
        async with self._upkeep.use() as connection:
            cursor = await self._on(
                connection,
                "rescue",
                worker_ids=[worker.worker_id for worker in gone],
                last_seens=[worker.last_seen for worker in gone],
                sessionless=[worker.sessionless for worker in gone],
                batch_size=limit,
                done_channel=self._done_channel,
            )
            return [Rescued._make(row) for row in await cursor.fetchall()]

    async def prune(self) -> list[str]:
        async with self._pruning.use() as connection:
            cursor = await self._on(
                connection, "keep_partitions", days_ahead=3, retention_s=self._history_retention_s
            )
            return [name for (name,) in await cursor.fetchall()]

    async def prune_observation(self, batch_size: int) -> int:
        async with self._pruning.use() as connection:
            cursor = await self._on(
                connection,
                "prune_observation",
                tally_retention_s=TALLY_RETENTION_S,
                trace_retention_s=TRACE_RETENTION_S,
                batch_size=batch_size,
            )
            [(pruned,)] = await cursor.fetchall()
            return int(pruned)

    async def listen(self, hear: Callable[[str], None], listening: Callable[[], None]) -> None:
        await listen(self._listening, self._channel, hear, listening)

    @property
    def reconnects(self) -> int:
        return sum(line.reconnects for line in self._lines)

    async def close(self) -> None:
        for line in self._lines:
            await line.close()
        await self.completing.close()

    @property
    def _lines(self) -> tuple[Line, ...]:
        return (self._claims, self._completions, self._upkeep, self._pruning, self._listening)

    async def _on(
        self, connection: psycopg.AsyncConnection[Any], name: str, /, **parameters: Any
    ) -> psycopg.AsyncCursor[Any]:
        return await connection.execute(
            self._statements[name], written(parameters), prepare=True, binary=True
        )


# What ClaimedJob._make does, without looking at each row's length.
_claimed_job = functools.partial(tuple.__new__, ClaimedJob)


def _positions(shares: Sequence[Share]) -> Mapping[str, list[Any]]:
    return {
        "queues": [share.queue for share in shares],
        "after_ranks": [share.after.rank for share in shares],
        "after_ids": [share.after.id for share in shares],
    }


def _listed(queues: Sequence[str] | None) -> list[str] | None:
    return None if queues is None else list(queues)
