"""What can be asked of jobs: Procrastinate's JobManager as far as it reads, and what that lacks."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

from procrastinate import manager
from procrastinate.jobs import Job
from procrastinate.jobs import Status as JobStatus

from forthwith.database.pool import Pool
from forthwith.errors import NoResult
from forthwith.store.callers_connection import (
    async_connection,
    blocking_connection,
    in_callers_transaction,
)
from forthwith.store.jobs import JobQueries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith.connector import Connector, Session
    from forthwith.job import FailedAttempt, JobDetails, WorkerDetails

R = TypeVar("R")

FINAL = ("succeeded", "failed", "aborted", "cancelled")


class JobCatalog(manager.JobManager):
    """Statuses, lists, counts, errors and history. Synchronous methods are thin bridges."""

    connector: Connector

    async def get_job_status_async(self, job_id: int, connection: Any | None = None) -> JobStatus:
        """Return a job's status. Raises `NoResult` if there is no such job."""
        if connection is None:
            return _status(
                await self.connector.call(lambda session: session.queries.status(job_id)), job_id
            )
        with in_callers_transaction():
            status = await self._queries.status(job_id, await async_connection(connection))
        return _status(status, job_id)

    def get_job_status(self, job_id: int, connection: Any | None = None) -> JobStatus:
        """As `get_job_status_async`, synchronously."""
        if connection is None:
            return _status(
                self.connector.run(lambda session: session.queries.status(job_id)), job_id
            )
        with in_callers_transaction():
            status = self._queries.status_blocking(blocking_connection(connection), job_id)
        return _status(status, job_id)

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

    async def check_connection_async(self) -> bool:
        """Whether the job table is there. Raises `DatabaseUnavailable`."""
        return await self.connector.call(lambda session: session.queries.has_table())

    def check_connection(self) -> bool:
        """As `check_connection_async`, synchronously."""
        return self._wait(self.check_connection_async)

    async def list_jobs_to_abort_async(self, queue: str | None = None) -> list[int]:
        """List the ids of running jobs whose abort was requested."""
        return await self.connector.call(lambda session: session.queries.ids_to_abort(queue))

    @property
    def _queries(self) -> JobQueries:
        """Queries for connections of the caller's: they need no pool."""
        return JobQueries(Pool(self.connector.database), schema=self.connector.schema)

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


def _status(status: str | None, job_id: int) -> JobStatus:
    if status is None:
        raise NoResult(f"There is no job {job_id}")
    return JobStatus(status)
