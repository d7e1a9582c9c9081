"""Procrastinate's JobManager on forthwith's tables, and what it lacks: errors, history, workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from procrastinate import utils
from procrastinate.jobs import Job
from procrastinate.jobs import Status as JobStatus

from forthwith.arguments import serialize, serialize_all
from forthwith.deferrer import CRASHES_MAX
from forthwith.errors import ConnectorException, InvalidArgument, InvalidTimestamp
from forthwith.job import NewJob
from forthwith.job_catalog import FINAL, JobCatalog
from forthwith.options import check_lock, check_name, check_priority, check_schedule
from forthwith.store.callers_connection import (
    async_connection,
    blocking_connection,
    in_callers_transaction,
)
from forthwith.store.deferring import Deferring

if TYPE_CHECKING:
    import datetime
    from collections.abc import Iterable, Mapping, Sequence

    from forthwith.connector import Connector

R = TypeVar("R")

ARGUMENTS_BYTES_MAX = 1024 * 1024


class JobManager(JobCatalog):
    """What can be asked of jobs and done to them. Synchronous methods are thin bridges.

    All methods of Procrastinate's are here. Those without an `_async` twin are coroutines, as there.
    """

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

        With an asynchronous `connection` of psycopg or SQLAlchemy they are inserted in its transaction.
        """
        new = [self._new(job) for job in jobs]
        if not new:
            return []
        if connection is None:
            ids = await self.connector.call(lambda session: session.queries.insert(new))
        else:
            ids = await self._inserted_by(connection, new)
        return _with_ids(jobs, ids)

    async def defer_alike_async(
        self, job: Job, arguments: Sequence[Mapping[str, Any]], connection: Any | None = None
    ) -> list[int]:
        """Defer a job for each of these arguments, which it takes besides its own, all or none.

        In all else the jobs are as `job`. Returns their ids, in the same order. Raises, and uses a
        `connection`, as `batch_defer_jobs_async`, which for many jobs takes several times as long.
        """
        if not arguments:
            return []
        new = self._new(job)
        args = self._as_array(new, job, arguments)
        if args is None:
            jobs = self._each(new, job, arguments)
            if connection is not None:
                return await self._inserted_by(connection, jobs)
            return await self.connector.call(lambda session: session.queries.insert(jobs))
        if connection is not None:
            with in_callers_transaction():
                used = await async_connection(connection)
                return await self._deferring.insert_alike_in(used, new, args)
        return await self.connector.call(lambda session: session.queries.insert_alike(new, args))

    def defer_alike(
        self, job: Job, arguments: Sequence[Mapping[str, Any]], connection: Any | None = None
    ) -> list[int]:
        """As `defer_alike_async`, synchronously; a `connection` is a synchronous one, or Django's."""
        if not arguments:
            return []
        new = self._new(job)
        args = self._as_array(new, job, arguments)
        jobs = [] if args is not None else self._each(new, job, arguments)
        if connection is not None:
            with in_callers_transaction():
                used = blocking_connection(connection)
                if args is None:
                    return self._deferring.insert_all_blocking(used, jobs)
                return self._deferring.insert_alike_blocking(used, new, args)
        if args is None:
            return self.connector.run(lambda session: session.queries.insert(jobs))
        return self.connector.run(lambda session: session.queries.insert_alike(new, args))

    def defer_job(self, job: Job, connection: Any | None = None) -> Job:
        """As `defer_job_async`, synchronously."""
        if connection is not None:
            return self.batch_defer_jobs([job], connection)[0]
        new = self._new(job)
        job_id = self.connector.run(lambda session: session.shared_defer.defer(new))
        return job.evolve(id=job_id, status=JobStatus.TODO.value)

    def batch_defer_jobs(self, jobs: list[Job], connection: Any | None = None) -> list[Job]:
        """As `batch_defer_jobs_async`, synchronously; a `connection` is a synchronous one, or Django's."""
        new = [self._new(job) for job in jobs]
        if not new:
            return []
        if connection is None:
            return _with_ids(jobs, self.connector.run(lambda session: session.queries.insert(new)))
        with in_callers_transaction():
            ids = self._deferring.insert_all_blocking(blocking_connection(connection), new)
        return _with_ids(jobs, ids)

    async def defer_periodic_job(
        self, job: Job, periodic_id: str, defer_timestamp: int
    ) -> int | None:
        """Defer the job of a periodic task's tick, unless somebody did or the task is paused.

        Returns its id or None. Raises `AlreadyEnqueued`, and `InvalidTimestamp` if the job's `timestamp`
        is another.
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
        if connection is None:
            return await self.connector.call(
                lambda session: session.queries.cancel(job_id, abort=abort, delete_job=delete_job)
            )
        with in_callers_transaction():
            return await self._queries.cancel(
                job_id,
                abort=abort,
                delete_job=delete_job,
                connection=await async_connection(connection),
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
        with in_callers_transaction():
            return self._queries.cancel_blocking(
                blocking_connection(connection), job_id, abort=abort, delete_job=delete_job
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

    # -- upkeep -------------------------------------------------------------------------------------

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
            tasks=None,
            lease_s=30.0,
            renew_interval_s=None,
        )
        return int(rows[0][0])

    async def unregister_worker(self, worker_id: int) -> None:
        """Take a worker off the list."""
        await self._rows("unregister_worker", worker_id=worker_id)

    async def update_heartbeat(self, worker_id: int) -> None:
        """Renew a worker's lease by 30 seconds."""
        await self._rows(
            "renew_lease",
            worker_id=worker_id,
            lease_s=30.0,
            renew_interval_s=None,
            running=None,
        )

    async def prune_stalled_workers(self, seconds_since_heartbeat: float) -> list[int]:
        """Forget workers that hold no job and have not been seen for a time. Returns their ids."""
        rows = await self._rows("prune_workers", unseen_s=float(seconds_since_heartbeat))
        return [worker_id for (worker_id,) in rows]

    # -----------------------------------------------------------------------------------------------

    @property
    def _deferring(self) -> Deferring:
        return Deferring(self.connector.schema)

    async def _inserted_by(self, connection: Any, jobs: Sequence[NewJob]) -> list[int]:
        with in_callers_transaction():
            return await self._deferring.insert_all(await async_connection(connection), jobs)

    def _as_array(
        self, new: NewJob, job: Job, arguments: Sequence[Mapping[str, Any]]
    ) -> str | None:
        """Encode the arguments of jobs that differ in nothing else; None if they go one by one."""
        if new.queueing_lock is not None:
            return None
        return serialize_all(
            job.task_kwargs,
            arguments,
            bytes_max=self._arguments_bytes_max,
            dumps=self.connector.json_dumps,
        )

    def _each(self, new: NewJob, job: Job, arguments: Sequence[Mapping[str, Any]]) -> list[NewJob]:
        return [
            new._replace(args=self._serialized({**job.task_kwargs, **each})) for each in arguments
        ]

    def _serialized(self, arguments: Mapping[str, Any]) -> str:
        return serialize(
            arguments, bytes_max=self._arguments_bytes_max, dumps=self.connector.json_dumps
        )

    def _new(self, job: Job) -> NewJob:
        """Check a job and encode its arguments. Raises `InvalidArgument`."""
        return NewJob(
            queue=check_name("queue", job.queue),
            task=check_name("task", job.task_name),
            priority=check_priority("priority", job.priority),
            args=self._serialized(job.task_kwargs),
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
