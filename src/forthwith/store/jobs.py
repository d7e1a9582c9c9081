"""What people ask of jobs, and do to them by hand."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row
from psycopg.types.json import set_json_loads

from forthwith.job import FailedAttempt, JobDetails, WorkerDetails
from forthwith.store.callers_connection import check_sees_lines
from forthwith.store.deferring import Deferring
from forthwith.store.own_names import own_names, own_names_blocking
from forthwith.store.statements import DEFAULT_SCHEMA, channel_of, done_channel_of, statements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence
    from datetime import datetime

    from forthwith.database.pool import Pool
    from forthwith.job import NewJob, Status

# Of which `job.sql` and others take all, null where they do not matter.
NO_FILTER: Mapping[str, Any] = {
    "id": None,
    "queue": None,
    "task": None,
    "status": None,
    "lock": None,
    "queueing_lock": None,
    "worker_id": None,
    "before_id": None,
    "limit": None,
}


def _readable(text: str | bytes) -> Any:
    """Decode JSON. What Python can't decode, and no defer of ours writes, must not hide all other jobs."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return {"unreadable": str(error)}


class JobQueries:
    """A method per question or deed, on a pool. `connection` is the caller's own, if he gives one."""

    def __init__(self, pool: Pool, *, schema: str = DEFAULT_SCHEMA) -> None:
        self._pool = pool
        self._statements = statements(schema)
        self._channel = channel_of(schema)
        self._done_channel = done_channel_of(schema)
        self.deferring = Deferring(schema)

    async def insert(self, jobs: Sequence[NewJob]) -> list[int]:
        """Insert all jobs or none. Raises `AlreadyEnqueued`."""
        async with self._pool.connection() as connection:
            if any(job.queueing_lock is not None for job in jobs):
                return await self.deferring.insert_all(connection, jobs)
            return [
                job_id
                for job_id in await self.deferring.insert(connection, jobs)
                if job_id is not None
            ]

    async def insert_alike(self, job: NewJob, args: str) -> list[int]:
        """Insert a job for each element of a JSON array of arguments, all or none."""
        async with self._pool.connection() as connection:
            return await self.deferring.insert_alike(connection, job, args)

    async def insert_periodic(
        self, job: NewJob, periodic_id: str, defer_timestamp: int
    ) -> int | None:
        """Insert the job of a tick, unless somebody did, or the task is paused: then the tick is over.

        Raises `AlreadyEnqueued`, the tick untaken.
        """
        tick = {
            "task": job.task,
            "periodic_id": periodic_id,
            "defer_timestamp": defer_timestamp,
        }
        async with self._transaction() as connection:
            if not await self._rows("tick", connection, **tick):
                return None
            job_id = None
            known = {"task": job.task, "periodic_id": periodic_id}
            if not await self._rows("periodic_pause", connection, **known):
                (job_id,) = await self.deferring.insert_all(connection, [job])
            await self._run("ticked", connection, **tick, job_id=job_id)
            return job_id

    async def cancel(
        self,
        job_id: int,
        *,
        abort: bool,
        delete_job: bool,
        connection: psycopg.AsyncConnection[Any] | None = None,
    ) -> bool:
        """Cancel a waiting job, or request a running one's abort. False: there was nothing to do."""
        parameters = self._cancel_parameters(job_id, abort=abort, delete_job=delete_job)
        async with self._transaction(connection) as used:
            rows = await self._rows("cancel", used, **parameters)
            locks = [lock for _, lock, _ in rows if lock is not None]
            if locks and connection is not None:
                check_sees_lines((await self._rows("isolation", used))[0][0])
            await self._advance(locks, used)
            return bool(rows)

    def cancel_blocking(
        self,
        connection: psycopg.Connection[Any],
        job_id: int,
        *,
        abort: bool,
        delete_job: bool,
    ) -> bool:
        """As `cancel`, on the caller's synchronous connection."""
        parameters = self._cancel_parameters(job_id, abort=abort, delete_job=delete_job)
        with (
            own_names_blocking(connection),
            psycopg.Cursor(connection, row_factory=tuple_row) as cursor,
        ):
            rows = cursor.execute(self._statements["cancel"], parameters).fetchall()
            locks = [lock for _, lock, _ in rows if lock is not None]
            if locks:
                [(isolation,)] = cursor.execute(self._statements["isolation"]).fetchall()
                check_sees_lines(isolation)
                cursor.execute(self._statements["advance_lines"], {"locks": locks})
            return bool(rows)

    async def end(self, job_id: int, *, status: str, delete_job: bool) -> bool:
        """Give a live job a final status by hand. False: there is no such live job."""
        async with self._transaction() as connection:
            rows = await self._rows(
                "end_job",
                connection,
                id=job_id,
                status=status,
                delete_job=delete_job,
                done_channel=self._done_channel,
            )
            await self._advance([lock for _, lock, _ in rows], connection)
            return bool(rows)

    async def retry(
        self,
        job_id: int,
        *,
        retry_at: datetime,
        priority: int | None,
        queue: str | None,
        lock: str | None,
    ) -> bool:
        """Let a running or an unsuccessful job run again. False: it is neither."""
        changes = {
            "id": job_id,
            "retry_at": retry_at,
            "priority": priority,
            "queue": queue,
            "lock": lock,
        }
        async with self._transaction() as connection:
            rows = await self._rows("retry_running", connection, **changes)
            await self._advance([old_lock for _, old_lock in rows], connection)
            if not rows:
                rows = await self._rows("retry_finished", connection, **changes)
            if rows:
                await self._wake_for(job_id, connection)
            return bool(rows)

    async def status(
        self, job_id: int, connection: psycopg.AsyncConnection[Any] | None = None
    ) -> str | None:
        """Return a job's status, or None if there is no such job."""
        async with self._transaction(connection) as used:
            rows = await self._rows("job_status", used, id=job_id)
        return rows[0][0] if rows else None

    def status_blocking(self, connection: psycopg.Connection[Any], job_id: int) -> str | None:
        """As `status`, on the caller's synchronous connection."""
        with (
            own_names_blocking(connection),
            psycopg.Cursor(connection, row_factory=tuple_row) as cursor,
        ):
            row = cursor.execute(self._statements["job_status"], {"id": job_id}).fetchone()
            return None if row is None else row[0]

    async def list_jobs(self, **filters: Any) -> list[JobDetails]:
        """List jobs, newest first. Filters are those of list_jobs.sql; None does not filter."""
        rows = await self._rows("list_jobs", None, **{**NO_FILTER, **filters})
        return [JobDetails(*row) for row in rows]

    async def list_attempts(self, job_id: int) -> list[FailedAttempt]:
        """List a job's failed attempts, first to last."""
        return [
            FailedAttempt(*row) for row in await self._rows("list_attempts", None, job_id=job_id)
        ]

    async def list_workers(self) -> list[WorkerDetails]:
        """List the registered workers."""
        return [WorkerDetails(*row) for row in await self._rows("list_workers", None)]

    async def count_jobs(self) -> dict[Status, int]:
        """Count jobs by status."""
        counts = dict(await self._rows("count_jobs", None))
        statuses: tuple[Status, ...] = (
            "todo",
            "doing",
            "succeeded",
            "failed",
            "cancelled",
            "aborted",
        )
        return {status: counts.get(status, 0) for status in statuses}

    async def group_jobs(self, by: str, **filters: str | None) -> dict[str, dict[str, int]]:
        """Count jobs by queue, task or lock, and status."""
        groups: dict[str, dict[str, int]] = {}
        for name, status, count in await self._rows("group_jobs", None, by=by, **filters):
            groups.setdefault(name, {})[status] = count
        return groups

    async def stalled_ids(
        self,
        *,
        queue: str | None,
        task: str | None,
        claimed_s: float | None,
        unseen_s: float,
    ) -> list[int]:
        """List running jobs claimed long ago, or whose worker has not been seen."""
        rows = await self._rows(
            "stalled_jobs", None, queue=queue, task=task, claimed_s=claimed_s, unseen_s=unseen_s
        )
        return [job_id for (job_id,) in rows]

    async def delete_old(self, *, hours: float, queue: str | None, statuses: list[str]) -> None:
        """Delete finished jobs."""
        async with self._transaction() as connection:
            await self._run(
                "delete_old_jobs", connection, hours=hours, queue=queue, statuses=statuses
            )

    async def ids_to_abort(self, queue: str | None) -> list[int]:
        """List running jobs whose abort was requested."""
        return [job_id for (job_id,) in await self._rows("jobs_to_abort", None, queue=queue)]

    async def has_table(self) -> bool:
        """Whether the job table is there."""
        return (await self._rows("table_exists", None))[0][0] is not None

    async def rows_of(self, name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        """Run a statement by name, for what has no method."""
        return await self._rows(name, None, **parameters)

    def _cancel_parameters(
        self, job_id: int, *, abort: bool, delete_job: bool
    ) -> Mapping[str, Any]:
        return {
            "id": job_id,
            "abort": abort,
            "delete_job": delete_job,
            "channel": self._channel,
            "done_channel": self._done_channel,
        }

    async def _advance(
        self, locks: Sequence[str | None], connection: psycopg.AsyncConnection[Any]
    ) -> None:
        held = [lock for lock in locks if lock is not None]
        if held:
            await self._run("advance_lines", connection, locks=held)

    async def _wake_for(self, job_id: int, connection: psycopg.AsyncConnection[Any]) -> None:
        rows = await self._rows("list_jobs", connection, **{**NO_FILTER, "id": job_id})
        queues = [row[2] for row in rows]
        await self._run("wake", connection, queues=queues)

    @asynccontextmanager
    async def _transaction(
        self, connection: psycopg.AsyncConnection[Any] | None = None
    ) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Begin a transaction on a connection of the pool, or a savepoint on the caller's."""
        if connection is None:
            async with self._pool.connection() as own, own_names(own):
                yield own
        else:
            async with own_names(connection):
                yield connection

    async def _rows(
        self,
        name: str,
        connection: psycopg.AsyncConnection[Any] | None,
        /,
        **parameters: Any,
    ) -> list[tuple[Any, ...]]:
        if connection is None:
            async with self._transaction() as own:
                return await self._rows(name, own, **parameters)
        async with psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor:
            set_json_loads(_readable, cursor)
            await cursor.execute(self._statements[name], parameters)
            return await cursor.fetchall()

    async def _run(
        self, name: str, connection: psycopg.AsyncConnection[Any], /, **parameters: Any
    ) -> None:
        async with psycopg.AsyncCursor(connection) as cursor:
            await cursor.execute(self._statements[name], parameters)
