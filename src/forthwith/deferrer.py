"""A configured job on its way to the database."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict, cast

import attr
import procrastinate.jobs
from procrastinate.jobs import DEFAULT_PRIORITY, DEFAULT_QUEUE

from forthwith.arguments import check_keywords
from forthwith.options import (
    check_crashes_max,
    check_known,
    check_lock,
    check_name,
    check_priority,
    schedule_from,
)

if TYPE_CHECKING:
    import datetime
    from collections.abc import Callable, Mapping, Sequence

    from procrastinate.manager import JobManager
    from procrastinate.types import JSONDict, JSONValue, TimeDeltaParams
    from typing_extensions import Unpack

    from forthwith.connection import CallersConnection

__all__ = ["CRASHES_MAX", "ConfigureTaskOptions", "JobDeferrer", "JobToDefer", "configure_task"]

logger = logging.getLogger(__name__)

CRASHES_MAX = 3
"""The crash at which a job is failed as poison, unless its task says otherwise."""


class ConfigureTaskOptions(TypedDict):
    """What `Task.configure` takes: Procrastinate's options, with the type of `connection`."""

    lock: NotRequired[str | None]
    queueing_lock: NotRequired[str | None]
    task_kwargs: NotRequired[JSONDict | None]
    schedule_at: NotRequired[datetime.datetime | None]
    schedule_in: NotRequired[TimeDeltaParams | None]
    queue: NotRequired[str | None]
    priority: NotRequired[int | None]
    connection: NotRequired[CallersConnection | None]


OPTIONS = frozenset(ConfigureTaskOptions.__annotations__)
"""What `Task.configure` takes."""


@attr.dataclass(frozen=True, kw_only=True)
class JobToDefer(procrastinate.jobs.Job):
    """Procrastinate's job, with what its task says of crashes."""

    #: The crash at which the job is failed rather than run again.
    crashes_max: int = CRASHES_MAX

    def evolve(self, **kwargs: Any) -> JobToDefer:
        """Return a copy with these fields changed.

        Each deferred job passes here twice, and attrs' own way takes twice the time.
        """
        fields = {**vars(self), **kwargs}
        fields.pop("call_string", None)  # Procrastinate caches it among the fields
        return JobToDefer(**fields)


class JobDeferrer(procrastinate.jobs.JobDeferrer):
    """A configured job that waits for its arguments: what `Task.configure` returns.

    Its log lines say how many jobs of which task went to which queue, and never their arguments.
    """

    def make_new_job(self, /, **task_kwargs: JSONValue) -> procrastinate.jobs.Job:
        """Return the job with these arguments added to those it was configured with."""
        return self.job.evolve(task_kwargs={**self.job.task_kwargs, **task_kwargs})

    def defer(self, /, **task_kwargs: JSONValue) -> int:
        """Defer a job with these arguments and return its id. See `Task.defer`."""
        job = self.make_new_job(**task_kwargs)
        return self._ids([self.job_manager.defer_job(job=job, connection=self.connection)])[0]

    async def defer_async(self, /, **task_kwargs: JSONValue) -> int:
        """Defer a job with these arguments and return its id. See `Task.defer_async`."""
        job = self.make_new_job(**task_kwargs)
        deferred = await self.job_manager.defer_job_async(job=job, connection=self.connection)
        return self._ids([deferred])[0]

    def batch_defer(self, *task_kwargs: Mapping[str, Any]) -> list[int]:
        """Defer a job for each dict of arguments; return their ids, in the same order."""
        _check_each(task_kwargs)
        alike = getattr(self.job_manager, "defer_alike", None)
        if alike is not None:
            return self._told(alike(self.job, task_kwargs, self.connection))
        jobs = [self.make_new_job(**arguments) for arguments in task_kwargs]
        return self._ids(self.job_manager.batch_defer_jobs(jobs=jobs, connection=self.connection))

    async def batch_defer_async(self, *task_kwargs: Mapping[str, Any]) -> list[int]:
        """Defer a job for each dict of arguments; return their ids, in the same order."""
        _check_each(task_kwargs)
        alike = getattr(self.job_manager, "defer_alike_async", None)
        if alike is not None:
            return self._told(await alike(self.job, task_kwargs, self.connection))
        jobs = [self.make_new_job(**arguments) for arguments in task_kwargs]
        return self._ids(
            await self.job_manager.batch_defer_jobs_async(jobs=jobs, connection=self.connection)
        )

    def _ids(self, deferred: Sequence[procrastinate.jobs.Job]) -> list[int]:
        return self._told([cast("int", job.id) for job in deferred])

    def _told(self, ids: list[int]) -> list[int]:
        task, queue = self.job.task_name, self.job.queue
        logger.debug(
            "Deferred %d of task %s to queue %s",
            len(ids),
            task,
            queue,
            extra={
                "action": "jobs_deferred",
                "count": len(ids),
                "task": task,
                "queue": queue,
                "job_ids": ids,
            },
        )
        return ids


def _check_each(batch: Sequence[Mapping[str, Any]]) -> None:
    """Raise for the first that does not map names to values, and say which it is."""
    if {type(arguments) for arguments in batch} == {dict} and all(map(_has_names, batch)):
        return
    for index, arguments in enumerate(batch):
        check_keywords(f"task_kwargs[{index}]", arguments)


def _has_names(arguments: Mapping[str, Any]) -> bool:
    return set(map(type, arguments)) <= _NAMES


_NAMES = {str}


def configure_task(
    *,
    name: str,
    job_manager: JobManager,
    crashes_max: int = CRASHES_MAX,
    **options: Unpack[ConfigureTaskOptions],
) -> JobDeferrer:
    """Return a deferrer for jobs of the task called `name`, which need not be known here.

    The options are those of `Task.configure`; None stands for the default. Raises
    `InvalidArgument` for an option that is unknown or has a wrong value.
    """
    check_known(options, OPTIONS)
    task_kwargs = options.get("task_kwargs")
    if task_kwargs is not None:
        check_keywords("task_kwargs", task_kwargs)
    job = JobToDefer(
        task_name=check_name("name", name),
        queue=_checked(options, "queue", check_name, DEFAULT_QUEUE),
        priority=_checked(options, "priority", check_priority, DEFAULT_PRIORITY),
        lock=_checked(options, "lock", check_lock, None),
        queueing_lock=_checked(options, "queueing_lock", check_lock, None),
        task_kwargs={} if task_kwargs is None else dict(task_kwargs),
        scheduled_at=schedule_from(options.get("schedule_at"), options.get("schedule_in")),
        crashes_max=check_crashes_max(crashes_max),
    )
    return JobDeferrer(job=job, job_manager=job_manager, connection=options.get("connection"))


def _checked(
    options: ConfigureTaskOptions, name: str, check: Callable[[str, object], Any], default: Any
) -> Any:
    value = options.get(name)
    return default if value is None else check(name, value)
