"""Puts new jobs into the database."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, cast

import psycopg
from psycopg.rows import tuple_row

from forthwith.arguments import ARRAY_CHARACTERS_MAX
from forthwith.errors import AlreadyEnqueued
from forthwith.job import NewJob
from forthwith.store.arrays import written
from forthwith.store.statements import statements

if TYPE_CHECKING:
    from collections.abc import Sequence


class Deferring:
    """The statements of a defer, on any connection: ours, or the caller's within his transaction."""

    def __init__(self, schema: str) -> None:
        self._statements = statements(schema)

    async def insert(
        self, connection: psycopg.AsyncConnection[Any], jobs: Sequence[NewJob]
    ) -> list[int | None]:
        """Insert jobs and wake a worker. Returns their ids; None for one that waits already.

        `connection` is in autocommit mode.
        """
        if (args := as_array(jobs)) is not None:
            return [*await self.insert_alike(connection, jobs[0], args)]
        if _has_traces(jobs):
            async with connection.transaction():
                return await self._insert(connection, jobs)
        return await self._insert(connection, jobs)

    async def _insert(
        self, connection: psycopg.AsyncConnection[Any], jobs: Sequence[NewJob]
    ) -> list[int | None]:
        cursor = await connection.execute(
            self._statements["defer"], _parameters(jobs), prepare=True
        )
        ids = matched(jobs, await cursor.fetchall())
        if traces := _traces(jobs, ids):
            await connection.execute(self._statements["note_traces"], traces, prepare=True)
        return ids

    async def insert_all(
        self, connection: psycopg.AsyncConnection[Any], jobs: Sequence[NewJob]
    ) -> list[int]:
        """Insert all jobs or none, in the connection's transaction or one of its own.

        Raises `AlreadyEnqueued`, after which the caller's transaction can go on. The caller's cursors may
        be of another kind and return other rows: ours are psycopg's plain ones.
        """
        if (args := as_array(jobs)) is not None:
            return await self.insert_alike_in(connection, jobs[0], args)
        async with (
            connection.transaction(),
            psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor,
        ):
            await cursor.execute(self._statements["defer"], _parameters(jobs))
            ids = all_or_none(jobs, matched(jobs, await cursor.fetchall()))
            if traces := _traces(jobs, ids):
                await cursor.execute(self._statements["note_traces"], traces)
            return ids

    async def insert_alike(
        self, connection: psycopg.AsyncConnection[Any], job: NewJob, args: str
    ) -> list[int]:
        """Insert a job like `job` for each element of `args`, a JSON array, and wake a worker.

        It must have no queueing lock. `connection` is in autocommit mode, as in `insert`.
        """
        if job.trace is not None:
            return await self.insert_alike_in(connection, job, args)
        cursor = await connection.execute(
            self._statements["defer_alike"], _alike(job, args), prepare=True
        )
        return cast("list[int]", (await cursor.fetchall())[0][0])

    async def insert_alike_in(
        self, connection: psycopg.AsyncConnection[Any], job: NewJob, args: str
    ) -> list[int]:
        """Do the same in the caller's transaction, or in one of its own."""
        async with (
            connection.transaction(),
            psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor,
        ):
            await cursor.execute(self._statements["defer_alike"], _alike(job, args))
            ids = cast("list[int]", (await cursor.fetchall())[0][0])
            if traces := _traces([job] * len(ids), ids):
                await cursor.execute(self._statements["note_traces"], traces)
            return ids

    def insert_alike_blocking(
        self, connection: psycopg.Connection[Any], job: NewJob, args: str
    ) -> list[int]:
        """As `insert_alike_in`, on the caller's synchronous connection."""
        with (
            connection.transaction(),
            psycopg.Cursor(connection, row_factory=tuple_row) as cursor,
        ):
            cursor.execute(self._statements["defer_alike"], _alike(job, args))
            ids = cast("list[int]", cursor.fetchall()[0][0])
            if traces := _traces([job] * len(ids), ids):
                cursor.execute(self._statements["note_traces"], traces)
            return ids

    def insert_all_blocking(
        self, connection: psycopg.Connection[Any], jobs: Sequence[NewJob]
    ) -> list[int]:
        """As `insert_all`, on the caller's synchronous connection."""
        if (args := as_array(jobs)) is not None:
            return self.insert_alike_blocking(connection, jobs[0], args)
        with (
            connection.transaction(),
            psycopg.Cursor(connection, row_factory=tuple_row) as cursor,
        ):
            cursor.execute(self._statements["defer"], _parameters(jobs))
            ids = all_or_none(jobs, matched(jobs, cursor.fetchall()))
            if traces := _traces(jobs, ids):
                cursor.execute(self._statements["note_traces"], traces)
            return ids


# "Always" stands for a commit that comes later: until then a lock tells workers who fall asleep that there
# is somebody to wait for (docs/decisions/0018-transactions-that-defer-hold-a-lock.md).
_LATER = {"always_notify": True}


def _parameters(jobs: Sequence[NewJob]) -> dict[str, Any]:
    columns = (list(column) for column in zip(*jobs, strict=True))
    names = (
        "queues",
        "tasks",
        "priorities",
        "args",
        "locks",
        "queueing_locks",
        "scheduled_ats",
        "crashes_maxes",
    )
    return written({**dict(zip(names, columns, strict=False)), **_LATER})


def as_array(jobs: Sequence[NewJob]) -> str | None:
    """Return the arguments of jobs that differ in nothing else, as one JSON array: it costs less."""
    if jobs[0].queueing_lock is not None or len(set(map(_all_but_args, jobs))) > 1:
        return None
    args = [job.args for job in jobs]
    return f"[{','.join(args)}]" if sum(map(len, args)) <= ARRAY_CHARACTERS_MAX else None


_all_but_args = attrgetter(*(name for name in NewJob._fields if name != "args"))


def _has_traces(jobs: Sequence[NewJob]) -> bool:
    return any(job.trace is not None for job in jobs)


def _traces(jobs: Sequence[NewJob], ids: Sequence[int | None]) -> dict[str, Any] | None:
    """Return note_traces.sql's parameters, if somebody traces one of these jobs."""
    if not _has_traces(jobs):
        return None
    noted = [
        (job_id, *job.trace)
        for job, job_id in zip(jobs, ids, strict=True)
        if job_id is not None and job.trace is not None
    ]
    columns = [list(column) for column in zip(*noted, strict=True)] or [[], [], []]
    return written(dict(zip(("job_ids", "traceparents", "tracestates"), columns, strict=True)))


def _alike(job: NewJob, args: str) -> dict[str, Any]:
    return {
        "queue": job.queue,
        "task": job.task,
        "priority": job.priority,
        "lock": job.lock,
        "scheduled_at": job.scheduled_at,
        "crashes_max": job.crashes_max,
        "args": args,
        **_LATER,
    }


def matched(jobs: Sequence[NewJob], rows: Sequence[tuple[Any, ...]]) -> list[int | None]:
    """Say which returned row is which job's: they come in order, and only queueing locks are left out."""
    ids: list[int | None] = []
    position = 0
    for job in jobs:
        row = rows[position] if position < len(rows) else None
        if row is not None and row[1] == job.queueing_lock:
            ids.append(row[0])
            position += 1
        else:
            ids.append(None)
    assert position == len(rows), "an inserted job was not among those given"
    return ids


def all_or_none(jobs: Sequence[NewJob], ids: Sequence[int | None]) -> list[int]:
    """Return the ids, or raise `AlreadyEnqueued` if one is missing."""
    for job, job_id in zip(jobs, ids, strict=True):
        if job_id is None:
            raise already_enqueued(job)
    return [job_id for job_id in ids if job_id is not None]


def already_enqueued(job: NewJob) -> AlreadyEnqueued:
    """Make the exception for a job that waits already."""
    return AlreadyEnqueued(
        "Job cannot be enqueued: there is already a job in the queue with the queueing lock "
        f"{job.queueing_lock}"
    )
