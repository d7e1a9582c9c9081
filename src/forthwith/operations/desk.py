"""Where an operator asks what is going on, and has something done about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from forthwith.operations.job_filter import ALL_JOBS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from forthwith.app import App
    from forthwith.operations.error_group import ErrorGroup
    from forthwith.operations.finding import Finding
    from forthwith.operations.job_filter import JobFilter
    from forthwith.operations.job_summary import JobPage
    from forthwith.operations.job_view import JobView
    from forthwith.operations.lock_state import LockState
    from forthwith.operations.overview import Overview
    from forthwith.operations.periodic_state import PeriodicState
    from forthwith.operations.preview import Action, ActionResult, Preview
    from forthwith.operations.queue_state import QueueState
    from forthwith.operations.tally_point import TallyPoint
    from forthwith.operations.task_state import TaskState
    from forthwith.operations.worker_state import WorkerState


class Desk:
    """What can be asked and done, for pages, for programs and for the command line.

    ```python
    async with Desk(app) as desk:
        overview = await desk.overview()
    ```

    It opens by itself when first used, in the event loop in which it stays. Questions are asked on up to
    four connections of its own, read-only and for at most five seconds each. Costly counts are shared: a
    second question within their age limit gets the same answer. Every method raises
    `DatabaseUnavailable`, `SchemaMissing` and `NotPermitted`.
    """

    def __init__(self, app: App) -> None:
        """Make a desk for an app's database; nothing connects yet."""
        self._app = app

    async def open(self) -> None:
        """Connect. Raises `DatabaseUnavailable`."""

    async def close(self) -> None:
        """Close the connections."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- questions ----------------------------------------------------------------------------------

    async def overview(self) -> Overview:
        """Return everything at a glance."""
        raise NotImplementedError

    async def queues(self) -> list[QueueState]:
        """Return the queues that have jobs, a history of the last day, a listener or a pause, by name."""
        raise NotImplementedError

    async def workers(self) -> list[WorkerState]:
        """Return the registered workers, oldest first."""
        raise NotImplementedError

    async def jobs(
        self,
        filter: JobFilter = ALL_JOBS,  # noqa: A002
        *,
        limit: int = 50,
        after: str | None = None,
    ) -> JobPage:
        """Return up to `limit` (at most 1,000) jobs of a filter, newest first, from a page's cursor on.

        It looks for a fraction of a second at most, and then returns what it has found, with a cursor to
        look further. Raises `InvalidArgument` for a limit or a cursor.
        """
        raise NotImplementedError

    async def job(self, job_id: int) -> JobView | None:
        """Return all that is known of a job; None if there is none of that id."""
        raise NotImplementedError

    async def tasks(self) -> list[TaskState]:
        """Return the tasks that this app or a worker knows, or that have jobs or a history, by name."""
        raise NotImplementedError

    async def periodic(self) -> list[PeriodicState]:
        """Return the periodic tasks that workers have told of, by name."""
        raise NotImplementedError

    async def locks(self) -> list[LockState]:
        """Return the locks with the longest lines, up to 100, the longest first."""
        raise NotImplementedError

    async def error_groups(self, within_s: float = 3600) -> list[ErrorGroup]:
        """Return what failed in the last `within_s` seconds (at most 7 days), the most frequent first."""
        raise NotImplementedError

    async def history(
        self, within_s: float = 3600, *, queue: str | None = None, task: str | None = None
    ) -> list[TallyPoint]:
        """Return what ended in the last `within_s` seconds (at most 30 days), the oldest step first.

        Steps are a minute or, for a longer time, so long that there are at most 180.
        """
        raise NotImplementedError

    async def findings(self) -> list[Finding]:
        """Return what is wrong, the worst first. Empty: all is well."""
        raise NotImplementedError

    # -- deeds --------------------------------------------------------------------------------------

    async def pause_queue(self, queue: str) -> bool:
        """Let nobody claim from a queue. False: it was paused already. Raises `InvalidArgument`."""
        raise NotImplementedError

    async def resume_queue(self, queue: str) -> bool:
        """Let workers claim from a queue again. False: it was not paused. Raises `InvalidArgument`."""
        raise NotImplementedError

    async def pause_periodic(self, task: str, periodic_id: str = "") -> bool:
        """Skip a periodic task's ticks from now on. False: it is paused already, or not there."""
        raise NotImplementedError

    async def resume_periodic(self, task: str, periodic_id: str = "") -> bool:
        """Defer a periodic task's ticks again from now on. False: it is not paused, or not there."""
        raise NotImplementedError

    async def run_periodic_now(self, task: str, periodic_id: str = "") -> int:
        """Defer a job of a periodic task, for now; return its id.

        Raises `InvalidArgument` if no worker has told of such a task, and `AlreadyEnqueued`.
        """
        raise NotImplementedError

    async def retry(self, ids: Sequence[int]) -> ActionResult:
        """Let jobs that failed, were aborted or were cancelled run again, now."""
        return await self._do("retry", ids)

    async def cancel(self, ids: Sequence[int]) -> ActionResult:
        """Cancel jobs that wait."""
        return await self._do("cancel", ids)

    async def abort(self, ids: Sequence[int]) -> ActionResult:
        """Ask running jobs to stop."""
        return await self._do("abort", ids)

    async def reschedule(self, ids: Sequence[int], at: datetime) -> ActionResult:
        """Make jobs that wait due at that time."""
        return await self._do("reschedule", ids, at=at)

    async def delete(self, ids: Sequence[int]) -> ActionResult:
        """Delete jobs that wait or have finished, with their attempts and results."""
        return await self._do("delete", ids)

    async def preview(self, action: Action, filter: JobFilter) -> Preview:  # noqa: A002
        """Say what `apply` would do, as far as can be counted in a fraction of a second.

        Raises `InvalidArgument`.
        """
        raise NotImplementedError

    async def apply(
        self,
        action: Action,
        filter: JobFilter,  # noqa: A002
        *,
        expected_max: int,
        at: datetime | None = None,
    ) -> ActionResult:
        """Do it to the jobs of a filter, up to `expected_max` of them, in transactions of up to 1,000.

        `at` is for `reschedule` alone. What a job has become meanwhile counts, not what the preview said.
        Raises `InvalidArgument`.
        """
        raise NotImplementedError

    async def _do(
        self, action: Action, ids: Sequence[int], *, at: datetime | None = None
    ) -> ActionResult:
        raise NotImplementedError
