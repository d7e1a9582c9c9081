"""Procrastinate's JobManager on forthwith's tables, and what it lacks: errors, history, workers."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import psycopg
from procrastinate import manager, utils
from procrastinate.jobs import Job
from procrastinate.jobs import Status as JobStatus

from forthwith.arguments import serialize
from forthwith.database.failures import translated
from forthwith.database.pool import Pool
from forthwith.deferrer import CRASHES_MAX
from forthwith.errors import ConnectorException, InvalidArgument, InvalidTimestamp, NoResult
from forthwith.job import NewJob
from forthwith.options import check_lock, check_name, check_priority, check_schedule
from forthwith.store.deferring import Deferring
from forthwith.store.jobs import JobQueries

if TYPE_CHECKING:
    import datetime
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from forthwith.connector import Connector, Session
    from forthwith.job import FailedAttempt, JobDetails, WorkerDetails

R = TypeVar("R")

ARGUMENTS_BYTES_MAX = 1024 * 1024
FINAL = ("succeeded", "failed", "aborted", "cancelled")


class JobManager(manager.JobManager):
    """What can be asked of jobs and done to them. Synchronous methods are thin bridges.

    All methods of Procrastinate's are here. Those without an `_async` twin are coroutines, as there.
    """

    connector: Connector

    def __init__(
        self, connector: Connector, *, arguments_bytes_max: int = ARGUMENTS_BYTES_MAX
    ) -> None:
        super().__init__(connector=connector)
        self._arguments_bytes_max = arguments_bytes_max

    # -- deferring ----------------------------------------------------------------------------------

    async def defer_job_async(self, job: Job, connection: Any | None = None) -> Job:
        """Defer a job; return it with its id. Concurrent calls share a statement.

        Raises `AlreadyEnqueued`, `InvalidArgument`, `DatabaseUnavailable`, `SchemaMissing`.
        """
        if connection is not None:
            return (await self.batch_defer_jobs_async([job], connection))[0]
        new = self._new(job)
        job_id = await self.connector.call(lambda session: session.shared_defer.defer(new))
        return job.evolve(id=job_id, status=JobStatus.TODO.value)

    async def batch_defer_jobs_async(
        self, jobs: list[Job], connection: Any | None = None
    ) -> list[Job]:
        """Defer all jobs or none; return them with their ids. Raises as `defer_job_async`.

        With a psycopg `connection` (async) they are inserted in its transaction.
        """
        new = [self._new(job) for job in jobs]
        if not new:
            return []
        if connection is None:
            ids = await self.connector.call(lambda session: session.queries.insert(new))
        else:
            ids = await self._inserted_by(connection, new)
        return _with_ids(jobs, ids)

    def defer_job(self, job: Job, connection: Any | None = None) -> Job:
        """As `defer_job_async`, synchronously."""
        if connection is not None:
            return self.batch_defer_jobs([job], connection)[0]
        new = self._new(job)
        job_id = self.connector.run(lambda session: session.shared_defer.defer(new))
        return job.evolve(id=job_id, status=JobStatus.TODO.value)

    def batch_defer_jobs(self, jobs: list[Job], connection: Any | None = None) -> list[Job]:
        """As `batch_defer_jobs_async`, synchronously; a `connection` is a synchronous psycopg one."""
        new = [self._new(job) for job in jobs]
        if not new:
            return []
        if connection is None:
            return _with_ids(jobs, self.connector.run(lambda session: session.queries.insert(new)))
        _check_connection(connection, psycopg.Connection)
        with translated():
            ids = self._deferring.insert_all_blocking(connection, new)
        return _with_ids(jobs, ids)

    async def defer_periodic_job(
        self, job: Job, periodic_id: str, defer_timestamp: int
    ) -> int | None:
        """Defer the job of a periodic task's tick, unless somebody did; return its id or None.

        Raises `AlreadyEnqueued`, and `InvalidTimestamp` if the job's `timestamp` is another.
        """
        if job.task_kwargs.get("timestamp") != defer_timestamp:
            raise InvalidTimestamp
        new = self._new(job)._replace(scheduled_at=None)
        return await self.connector.call(
            lambda session: session.queries.insert_periodic(new, periodic_id, defer_timestamp)
        )

    # -- cancelling and retrying --------------------------------------------------------------------

    async def cancel_job_by_id_async(
        self,
        job_id: int,
        abort: bool = False,
        delete_job: bool = False,
        connection: Any | None = None,
    ) -> bool:
        """Cancel a waiting job or, with `abort`, ask a running one to stop.

        `delete_job` leaves no trace of a cancelled one. Returns False if there was nothing to do.
        """
        if connection is not None:
            _check_connection(connection, psycopg.AsyncConnection)
        return await self.connector.call(
            lambda session: session.queries.cancel(
                job_id, abort=abort, delete_job=delete_job, connection=connection
            )
        )

    def cancel_job_by_id(
        self,
        job_id: int,
        abort: bool = False,
        delete_job: bool = False,
        connection: Any | None = None,
    ) -> bool:
        """As `cancel_job_by_id_async`, synchronously."""
        if connection is None:
            return self.connector.run(
                lambda session: session.queries.cancel(job_id, abort=abort, delete_job=delete_job)
            )
        _check_connection(connection, psycopg.Connection)
        with translated():
            return self._queries.cancel_blocking(
                connection, job_id, abort=abort, delete_job=delete_job
            )

    async def retry_job(
        self,
        job: Job,
        retry_at: datetime.datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Let a running or an unsuccessful job run again, at `retry_at` (default: now)."""
        assert job.id is not None
        await self.retry_job_by_id_async(
            job.id, retry_at or utils.utcnow(), priority=priority, queue=queue, lock=lock
        )

    async def retry_job_by_id_async(
        self,
        job_id: int,
        retry_at: datetime.datetime,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Let a running job, or one that failed, was aborted or was cancelled, run again at `retry_at`.

        A running one is taken from its worker, whose outcome is refused. Raises `ConnectorException`
        if the job is in another state or is not there.
        """
        changes = _checked_changes(retry_at, priority, queue, lock)
        if not await self.connector.call(lambda session: session.queries.retry(job_id, **changes)):
            _refuse_retry(job_id)

    def retry_job_by_id(
        self,
        job_id: int,
        retry_at: datetime.datetime,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """As `retry_job_by_id_async`, synchronously."""
        changes = _checked_changes(retry_at, priority, queue, lock)
        if not self.connector.run(lambda session: session.queries.retry(job_id, **changes)):
            _refuse_retry(job_id)

    async def finish_job_by_id_async(
        self, job_id: int, status: JobStatus, delete_job: bool
    ) -> None:
        """Give a live job a final status by hand. Raises `ConnectorException` if it is not live."""
        if status.value not in FINAL:
            raise InvalidArgument(
                "status", f"must be final ({', '.join(FINAL)}), not {status.value}"
            )
        if not await self.connector.call(
            lambda session: session.queries.end(job_id, status=status.value, delete_job=delete_job)
        ):
            raise ConnectorException(
                f'Job was not found or not in "doing" or "todo" status (job id: {job_id})'
            )

    # -- asking -------------------------------------------------------------------------------------

    async def get_job_status_async(self, job_id: int, connection: Any | None = None) -> JobStatus:
        """Return a job's status. Raises `NoResult` if there is no such job."""
        if connection is not None:
            _check_connection(connection, psycopg.AsyncConnection)
        return _status(
            await self.connector.call(lambda session: session.queries.status(job_id, connection)),
            job_id,
        )

    def get_job_status(self, job_id: int, connection: Any | None = None) -> JobStatus:
        """As `get_job_status_async`, synchronously."""
        if connection is None:
            return _status(
                self.connector.run(lambda session: session.queries.status(job_id)), job_id
            )
        _check_connection(connection, psycopg.Connection)
        with translated():
            return _status(self._queries.status_blocking(connection, job_id), job_id)

    async def get_job_async(self, job_id: int) -> JobDetails | None:
        """Return all that is known of a job, live or finished; None if there is none."""
        jobs = await self.connector.call(lambda session: session.queries.list_jobs(id=job_id))
        return jobs[0] if jobs else None

    def get_job(self, job_id: int) -> JobDetails | None:
        """As `get_job_async`, synchronously."""
        jobs = self.connector.run(lambda session: session.queries.list_jobs(id=job_id))
        return jobs[0] if jobs else None

    async def list_attempts_async(self, job_id: int) -> list[FailedAttempt]:
        """Return a job's failed attempts, first to last, with their errors."""
        return await self.connector.call(lambda session: session.queries.list_attempts(job_id))

    def list_attempts(self, job_id: int) -> list[FailedAttempt]:
        """As `list_attempts_async`, synchronously."""
        return self.connector.run(lambda session: session.queries.list_attempts(job_id))

    async def list_jobs_page_async(
        self,
        *,
        limit: int = 50,
        before_id: int | None = None,
        queue: str | None = None,
        task: str | None = None,
        status: str | None = None,
        lock: str | None = None,
    ) -> list[JobDetails]:
        """Return up to `limit` jobs, newest first, with ids below `before_id`."""
        return await self.connector.call(
            lambda session: session.queries.list_jobs(
                limit=limit, before_id=before_id, queue=queue, task=task, status=status, lock=lock
            )
        )

    async def list_jobs_async(
        self,
        id: int | None = None,  # noqa: A002 -- Procrastinate's name
        queue: str | None = None,
        task: str | None = None,
        status: str | None = None,
        lock: str | None = None,
        queueing_lock: str | None = None,
        worker_id: int | None = None,
    ) -> list[Job]:
        """List jobs, live and finished, oldest first."""
        filters = {
            "id": id,
            "queue": queue,
            "task": task,
            "status": status,
            "lock": lock,
            "queueing_lock": queueing_lock,
            "worker_id": worker_id,
        }
        jobs = await self.connector.call(lambda session: session.queries.list_jobs(**filters))
        return [self._job(details) for details in reversed(jobs)]

    def list_jobs(self, *positional: Any, **filters: Any) -> list[Job]:
        """As `list_jobs_async`, synchronously."""
        return self._wait(self.list_jobs_async, *positional, **filters)

    async def list_queues_async(
        self,
        queue: str | None = None,
        task: str | None = None,
        status: str | None = None,
        lock: str | None = None,
    ) -> list[dict[str, Any]]:
        """Count jobs by queue and status: `name`, `jobs_count` and a count for each status."""
        return await self._grouped("queue", queue=queue, task=task, status=status, lock=lock)

    def list_queues(self, *positional: Any, **filters: Any) -> list[dict[str, Any]]:
        """As `list_queues_async`, synchronously."""
        return self._wait(self.list_queues_async, *positional, **filters)

    async def list_tasks_async(
        self,
        queue: str | None = None,
        task: str | None = None,
        status: str | None = None,
        lock: str | None = None,
    ) -> list[dict[str, Any]]:
        """Count jobs by task and status, as `list_queues_async`."""
        return await self._grouped("task", queue=queue, task=task, status=status, lock=lock)

    def list_tasks(self, *positional: Any, **filters: Any) -> list[dict[str, Any]]:
        """As `list_tasks_async`, synchronously."""
        return self._wait(self.list_tasks_async, *positional, **filters)

    async def list_locks_async(
        self,
        queue: str | None = None,
        task: str | None = None,
        status: str | None = None,
        lock: str | None = None,
    ) -> list[dict[str, Any]]:
        """Count jobs by lock and status, as `list_queues_async`."""
        return await self._grouped("lock", queue=queue, task=task, status=status, lock=lock)

    def list_locks(self, *positional: Any, **filters: Any) -> list[dict[str, Any]]:
        """As `list_locks_async`, synchronously."""
        return self._wait(self.list_locks_async, *positional, **filters)

    async def count_jobs_async(self) -> dict[str, int]:
        """Count all jobs by status."""
        counts = await self.connector.call(lambda session: session.queries.count_jobs())
        return {status: count for status, count in counts.items()}  # noqa: C416 -- widens the keys' type

    def count_jobs(self) -> dict[str, int]:
        """As `count_jobs_async`, synchronously."""
        return self._wait(self.count_jobs_async)

    async def list_workers_async(self) -> list[WorkerDetails]:
        """List the registered workers."""
        return await self.connector.call(lambda session: session.queries.list_workers())

    def list_workers(self) -> list[WorkerDetails]:
        """As `list_workers_async`, synchronously."""
        return self._wait(self.list_workers_async)

    # -- upkeep -------------------------------------------------------------------------------------

    async def get_stalled_jobs(
        self,
        nb_seconds: int | None = None,
        queue: str | None = None,
        task_name: str | None = None,
        seconds_since_heartbeat: float = 30,
    ) -> list[Job]:
        """List running jobs whose worker has not been seen for a time. Rescues make it short-lived."""
        if nb_seconds is not None:
            warnings.warn(
                "The `nb_seconds` parameter is deprecated: leave it out to get the jobs of workers that "
                "have not been seen",
                DeprecationWarning,
                stacklevel=2,
            )

        async def stalled(session: Session) -> list[Job]:
            ids = await session.queries.stalled_ids(
                queue=queue, task=task_name, claimed_s=nb_seconds, unseen_s=seconds_since_heartbeat
            )
            found = [await session.queries.list_jobs(id=job_id) for job_id in ids]
            return [self._job(details) for jobs in found for details in jobs]

        return await self.connector.call(stalled)

    async def delete_old_jobs(
        self,
        nb_hours: int,
        queue: str | None = None,
        include_failed: bool | None = False,
        include_cancelled: bool | None = False,
        include_aborted: bool | None = False,
    ) -> None:
        """Delete jobs that succeeded, and on request others, more than `nb_hours` hours ago."""
        wanted = (
            ("succeeded", True),
            ("failed", include_failed),
            ("cancelled", include_cancelled),
            ("aborted", include_aborted),
        )
        statuses = [status for status, included in wanted if included]
        await self.connector.call(
            lambda session: session.queries.delete_old(
                hours=nb_hours, queue=queue, statuses=statuses
            )
        )

    async def check_connection_async(self) -> bool:
        """Whether the job table is there. Raises `DatabaseUnavailable`."""
        return await self.connector.call(lambda session: session.queries.has_table())

    def check_connection(self) -> bool:
        """As `check_connection_async`, synchronously."""
        return self._wait(self.check_connection_async)

    async def list_jobs_to_abort_async(self, queue: str | None = None) -> list[int]:
        """List the ids of running jobs whose abort was requested."""
        return await self.connector.call(lambda session: session.queries.ids_to_abort(queue))

    # -- workers driven by hand ---------------------------------------------------------------------

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> Job | None:
        """Not there: forthwith's worker claims in batches, under a lease. See `App.run_worker`."""
        raise NotImplementedError(
            "fetch_job is not part of forthwith: run jobs with app.run_worker_async(wait=False)"
        )

    async def register_worker(self) -> int:
        """Register a worker by hand. Its lease lasts 30 seconds; `update_heartbeat` renews it."""
        rows = await self._rows(
            "register_worker",
            name="manual",
            host="",
            pid=0,
            queues=None,
            concurrency=0,
            lease_s=30.0,
        )
        return int(rows[0][0])

    async def unregister_worker(self, worker_id: int) -> None:
        """Take a worker off the list."""
        await self._rows("unregister_worker", worker_id=worker_id)

    async def update_heartbeat(self, worker_id: int) -> None:
        """Renew a worker's lease by 30 seconds."""
        await self._rows("renew_lease", worker_id=worker_id, lease_s=30.0)

    async def prune_stalled_workers(self, seconds_since_heartbeat: float) -> list[int]:
        """Forget workers that hold no job and have not been seen for a time. Returns their ids."""
        rows = await self._rows("prune_workers", unseen_s=float(seconds_since_heartbeat))
        return [worker_id for (worker_id,) in rows]

    # -----------------------------------------------------------------------------------------------

    @property
    def _queries(self) -> JobQueries:
        """Queries for connections of the caller's: they need no pool."""
        return JobQueries(Pool(self.connector.database), schema=self.connector.schema)

    @property
    def _deferring(self) -> Deferring:
        return Deferring(self.connector.schema)

    async def _inserted_by(self, connection: Any, jobs: Sequence[NewJob]) -> list[int]:
        _check_connection(connection, psycopg.AsyncConnection)
        with translated():
            return await self._deferring.insert_all(connection, jobs)

    async def _grouped(self, by: str, **filters: str | None) -> list[dict[str, Any]]:
        groups = await self.connector.call(
            lambda session: session.queries.group_jobs(by, **filters)
        )
        statuses = ("todo", "doing", *FINAL)
        return [
            {
                "name": name,
                "jobs_count": sum(counts.values()),
                **{status: counts.get(status, 0) for status in statuses},
            }
            for name, counts in groups.items()
        ]

    async def _rows(self, statement: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        return await self.connector.call(
            lambda session: session.queries.rows_of(statement, **parameters)
        )

    def _wait(self, method: Callable[..., Awaitable[R]], *positional: Any, **arguments: Any) -> R:
        """Run one of our own coroutines for a synchronous caller."""
        return self.connector.run(lambda _session: method(*positional, **arguments))

    def _job(self, details: JobDetails) -> Job:
        loads = self.connector.json_loads
        kwargs = details.task_kwargs
        return Job(
            id=details.id,
            status=details.status,
            queue=details.queue,
            priority=details.priority,
            lock=details.lock,
            queueing_lock=details.queueing_lock,
            task_name=details.task_name,
            task_kwargs=kwargs if loads is None else loads(json.dumps(kwargs)),
            scheduled_at=details.scheduled_at,
            attempts=details.attempts,
            abort_requested=details.abort_requested,
            worker_id=details.worker_id,
        )

    def _new(self, job: Job) -> NewJob:
        """Check a job and encode its arguments. Raises `InvalidArgument`."""
        return NewJob(
            queue=check_name("queue", job.queue),
            task=check_name("task", job.task_name),
            priority=check_priority("priority", job.priority),
            args=serialize(
                job.task_kwargs,
                bytes_max=self._arguments_bytes_max,
                dumps=self.connector.json_dumps,
            ),
            lock=None if job.lock is None else check_lock("lock", job.lock),
            queueing_lock=(
                None
                if job.queueing_lock is None
                else check_lock("queueing_lock", job.queueing_lock)
            ),
            scheduled_at=(
                None
                if job.scheduled_at is None
                else check_schedule("schedule_at", job.scheduled_at)
            ),
            crashes_max=getattr(job, "crashes_max", CRASHES_MAX),
        )


def _with_ids(jobs: Sequence[Job], ids: Sequence[int]) -> list[Job]:
    return [
        job.evolve(id=job_id, status=JobStatus.TODO.value)
        for job, job_id in zip(jobs, ids, strict=True)
    ]


def _status(status: str | None, job_id: int) -> JobStatus:
    if status is None:
        raise NoResult(f"There is no job {job_id}")
    return JobStatus(status)


def _refuse_retry(job_id: int) -> NoReturn:
    raise ConnectorException(
        f"Job was not found or has an invalid status to retry (job id: {job_id}): only jobs that run, "
        "failed, were aborted or were cancelled can be retried"
    )


def _checked_changes(
    retry_at: datetime.datetime, priority: int | None, queue: str | None, lock: str | None
) -> dict[str, Any]:
    return {
        "retry_at": check_schedule("retry_at", retry_at),
        "priority": None if priority is None else check_priority("priority", priority),
        "queue": None if queue is None else check_name("queue", queue),
        "lock": None if lock is None else check_lock("lock", lock),
    }


def _check_connection(connection: object, kind: type) -> None:
    if not isinstance(connection, kind):
        raise InvalidArgument(
            "connection",
            f"must be a psycopg.{kind.__name__} here, not {type(connection).__name__}",
        )
