"""A worker without an engine: the store's own statements, one step at a time, as a test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forthwith.database.database import Database
from forthwith.engine.ports import QUEUE_START, Rescued, Share
from forthwith.engine.watch import Gone
from forthwith.job import NewJob
from forthwith.outcome import Aborted, Failed, Failure, Released, Retry, Succeeded
from forthwith.store.arrays import written
from forthwith.store.jobs import NO_FILTER
from forthwith.store.postgres import PostgresStore
from forthwith.store.statements import statements

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

    import psycopg

    from forthwith.job import ClaimedJob
    from forthwith.outcome import Outcome

FAILURE = Failure("failed", "ValueError", "went wrong", "Traceback: went wrong")
LEASE_S = 3600.0
DEFER_COLUMNS = (
    "queues",
    "tasks",
    "priorities",
    "args",
    "locks",
    "queueing_locks",
    "scheduled_ats",
    "crashes_maxes",
)


def new_job(
    *,
    queue: str = "default",
    task: str = "work",
    priority: int = 0,
    args: str = "{}",
    lock: str | None = None,
    queueing_lock: str | None = None,
    scheduled_at: datetime.datetime | None = None,
    crashes_max: int = 3,
) -> NewJob:
    """Return a job to defer."""
    return NewJob(queue, task, priority, args, lock, queueing_lock, scheduled_at, crashes_max)


async def run(
    connection: psycopg.AsyncConnection[Any], statement: str, /, **parameters: Any
) -> list[tuple[Any, ...]]:
    """Run one of the store's statements by its name; return its rows."""
    cursor = await connection.execute(statements()[statement], parameters)
    return [] if cursor.description is None else await cursor.fetchall()


async def defer(
    connection: psycopg.AsyncConnection[Any], *jobs: NewJob, channel: str = "forthwith_wake"
) -> list[int]:
    """Insert jobs as the library does; return the ids of those inserted.

    A worker that fell asleep between the insert's look and its commit is woken after it.
    """
    columns = [list(column) for column in zip(*jobs, strict=True)][: len(DEFER_COLUMNS)]
    rows = await run(
        connection,
        "defer",
        **written(dict(zip(DEFER_COLUMNS, columns, strict=True))),
        channel=channel,
        always_notify=False,
    )
    queues = sorted({job.queue for job in jobs})
    if rows and rows[0][2] < len(queues):
        await run(connection, "wake", queues=queues)
    return [row[0] for row in rows]


async def observed(
    connection: psycopg.AsyncConnection[Any], *silent_ids: int, sessionless: bool = False
) -> list[Gone]:
    """Return these workers, and those that have ended, as they are seen now: as if they were gone."""
    cursor = await connection.execute(
        "select id, last_seen, %s from forthwith.worker where ended or id = any(%s) order by id",
        [sessionless, list(silent_ids)],
    )
    return [Gone._make(row) for row in await cursor.fetchall()]


async def take_over(
    connection: psycopg.AsyncConnection[Any], gone: Sequence[Gone], *, batch_size: int = 1000
) -> list[Rescued]:
    """Rescue from workers that were observed to be gone, once."""
    rows = await run(
        connection,
        "rescue",
        worker_ids=[worker.worker_id for worker in gone],
        last_seens=[worker.last_seen for worker in gone],
        sessionless=[worker.sessionless for worker in gone],
        batch_size=batch_size,
        done_channel="forthwith_done",
    )
    return [Rescued._make(row) for row in rows]


async def rescue(
    connection: psycopg.AsyncConnection[Any], *silent_ids: int, batch_size: int = 1000
) -> list[Rescued]:
    """Rescue from the workers that have ended, and from these, once."""
    return await take_over(
        connection, await observed(connection, *silent_ids), batch_size=batch_size
    )


async def cancel(
    connection: psycopg.AsyncConnection[Any], job_id: int, *, abort: bool = False
) -> bool:
    """Cancel a job in one transaction, as the job manager does."""
    async with connection.transaction():
        rows = await run(
            connection,
            "cancel",
            id=job_id,
            abort=abort,
            delete_job=False,
            channel="forthwith_wake",
            done_channel="forthwith_done",
        )
        locks = [lock for _, lock, _ in rows if lock is not None]
        if locks:
            await run(connection, "advance_lines", locks=locks)
    return bool(rows)


async def status(connection: psycopg.AsyncConnection[Any], job_id: int) -> str | None:
    """Return a job's status."""
    rows = await run(connection, "job_status", id=job_id)
    return rows[0][0] if rows else None


async def details(connection: psycopg.AsyncConnection[Any], job_id: int) -> dict[str, Any]:
    """Return all that is known of a job."""
    cursor = await connection.execute(statements()["list_jobs"], {**NO_FILTER, "id": job_id})
    assert cursor.description is not None
    names = [column.name for column in cursor.description]
    [row] = await cursor.fetchall()
    return dict(zip(names, row, strict=True))


async def states(connection: psycopg.AsyncConnection[Any]) -> dict[int, str]:
    """Return the state of each live job; that of a claimed one is `claimed`."""
    cursor = await connection.execute(
        "select id, case when worker_id is null then state::text else 'claimed' end"
        " from forthwith.job order by id"
    )
    return dict(await cursor.fetchall())


class VirtualWorker:
    """A registered worker that claims and completes when told."""

    def __init__(self, url: str, connection: psycopg.AsyncConnection[Any]) -> None:
        self.store = PostgresStore(Database(url))
        self.worker_id = 0
        self._connection = connection

    async def register(self, *, lease_s: float = LEASE_S) -> VirtualWorker:
        """Register without the advisory lock: this worker lives by its lease alone."""
        cursor = await self._connection.execute(
            "insert into forthwith.worker (name, host, pid, concurrency, lease_expires_at)"
            " values ('virtual', 'test', 1, 1, clock_timestamp() + make_interval(secs => %s))"
            " returning id",
            [lease_s],
        )
        [(self.worker_id,)] = await cursor.fetchall()
        return self

    async def die(self) -> None:
        """Leave, with jobs claimed."""
        await run(self._connection, "expire_lease", worker_id=self.worker_id)

    async def look(self) -> None:
        """Promote, sort and look, as often as it takes."""
        while (await self.store.look(None)).more_to_sort:
            pass

    async def claim(
        self,
        size: int = 100,
        queues: Sequence[str] | None = None,
        unknown_tasks: Sequence[str] = (),
    ) -> list[ClaimedJob]:
        """Look, then claim up to `size` jobs over all queues, best first."""
        outlook = await self.store.look(queues)
        shares = [Share(queue, size, QUEUE_START) for queue in outlook.queues]
        if len(shares) > 1:
            shares = await self.store.share_out(shares, size, unknown_tasks)
        if not shares:
            return []
        jobs = await self.store.claim(shares, unknown_tasks, self.worker_id)
        return sorted(jobs, key=lambda job: (-job.priority, job.id))

    async def claim_suspect(
        self, queues: Sequence[str] | None = None, unknown_tasks: Sequence[str] = ()
    ) -> list[ClaimedJob]:
        """Claim a job whose worker has died."""
        return await self.store.claim_suspect(queues, unknown_tasks, self.worker_id)

    async def record(self, *outcomes: Outcome, repeated: bool = False) -> set[int]:
        """Record outcomes; return the ids of those accepted."""
        return await self.store.complete(outcomes, repeated=repeated)

    async def succeed(self, *jobs: ClaimedJob) -> set[int]:
        """Complete jobs."""
        return await self.record(*map(Succeeded, jobs))

    async def fail(self, *jobs: ClaimedJob) -> set[int]:
        """Complete jobs as failed."""
        return await self.record(*(Failed(job, FAILURE) for job in jobs))

    async def abort(self, *jobs: ClaimedJob) -> set[int]:
        """Complete jobs as aborted while they ran."""
        failure = FAILURE._replace(kind="aborted")
        return await self.record(*(Aborted(job, failure) for job in jobs))

    async def release(self, *jobs: ClaimedJob) -> set[int]:
        """Give jobs back."""
        return await self.record(*map(Released, jobs))

    async def retry(
        self,
        *jobs: ClaimedJob,
        at: datetime.datetime | None = None,
        in_s: float | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> set[int]:
        """Send jobs back to wait."""
        return await self.record(
            *(Retry(job, FAILURE, at, in_s, priority, queue, lock) for job in jobs)
        )
