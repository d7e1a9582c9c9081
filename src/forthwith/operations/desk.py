"""Where an operator asks what is going on, and has something done about it."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Self

from forthwith import upstream
from forthwith.connector import Connector
from forthwith.errors import InvalidArgument
from forthwith.operations.actions import Actions
from forthwith.operations.census import take_census
from forthwith.operations.changes import UNCHANGED, Changes
from forthwith.operations.checks import (
    ERRORS_WITHIN_MAX_S,
    HISTORY_WITHIN_MAX_S,
    HOUR_S,
    check_action,
    check_cursor,
    check_filter,
    check_id,
    check_ids,
    check_periodic_id,
    check_within,
)
from forthwith.operations.error_groups import error_groups
from forthwith.operations.history import history
from forthwith.operations.job_filter import ALL_JOBS
from forthwith.operations.jobs import job_page, job_view
from forthwith.operations.lock_state import LockState
from forthwith.operations.overview import Overview
from forthwith.operations.periodic import periodic_states, run_now
from forthwith.operations.picture import findings_of, picture_of, queues_of, tasks_of
from forthwith.operations.snapshot import Snapshot
from forthwith.operations.worker_state import WorkerState
from forthwith.options import check_count, check_name
from forthwith.store.operator_pool import OperatorPool
from forthwith.store.operator_queries import OperatorQueries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from forthwith.app import App
    from forthwith.operations.census import LiveCount
    from forthwith.operations.error_group import ErrorGroup
    from forthwith.operations.finding import Finding
    from forthwith.operations.job_filter import JobFilter
    from forthwith.operations.job_summary import JobPage
    from forthwith.operations.job_view import JobView
    from forthwith.operations.periodic_state import PeriodicState
    from forthwith.operations.picture import Picture
    from forthwith.operations.preview import Action, ActionResult, Preview
    from forthwith.operations.queue_state import QueueState
    from forthwith.operations.tally_point import TallyPoint
    from forthwith.operations.task_state import TaskState

LIMIT_MAX = 1000
LOCKS_MAX = 100
LINE_ROWS_MAX = 500_000


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
        """Make a desk for an app's database; nothing connects yet. Raises `InvalidArgument`."""
        if not isinstance(app.connector, Connector):
            raise InvalidArgument(
                "app", "has no PostgreSQL: a desk looks at forthwith's own tables"
            )
        self._app = app
        self._pool = OperatorPool(app.connector.database)
        self._queries = OperatorQueries(self._pool, app.connector.schema)
        self._actions = Actions(self._queries)
        self._census = Snapshot(partial(take_census, self._queries))
        self._locks = Snapshot(self._ask_locks)
        self._errors = Snapshot(partial(error_groups, self._queries, HOUR_S))

    async def open(self) -> None:
        """Connect. Raises `DatabaseUnavailable`."""
        await self._pool.open()

    async def close(self) -> None:
        """Close the connections."""
        for snapshot in (self._census, self._locks, self._errors):
            await snapshot.close()
        await self._pool.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # -- questions ----------------------------------------------------------------------------------

    async def overview(self) -> Overview:
        """Return everything at a glance."""
        picture, errors, points = await asyncio.gather(
            self._picture(), self.error_groups(), self.history()
        )
        return Overview(
            as_of=picture.as_of,
            queues=picture.queues,
            workers=picture.workers,
            errors=errors,
            history=points,
            findings=await findings_of(self._queries, picture),
        )

    async def queues(self) -> list[QueueState]:
        """Return the queues that have jobs, an hour's history, a listener or a pause, by name."""
        census, workers = await asyncio.gather(self._census.get(), self.workers())
        return await queues_of(self._queries, census, workers)

    async def live_counts(self) -> list[LiveCount]:
        """Return how many jobs have not ended, by queue and task."""
        return (await self._census.get()).counts

    async def workers(self) -> list[WorkerState]:
        """Return the registered workers, oldest first."""
        return [WorkerState(**row) for row in await self._queries.rows("op_workers")]

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
        check_count("limit", limit, at_most=LIMIT_MAX)
        below_id = check_cursor("after", after)
        return await job_page(self._queries, check_filter(filter), limit=limit, below_id=below_id)

    async def job(self, job_id: int) -> JobView | None:
        """Return all that is known of a job; None if there is none of that id."""
        return await job_view(self._queries, check_id("job_id", job_id), await self.workers())

    async def tasks(self) -> list[TaskState]:
        """Return the tasks that this app or a worker knows, or that have jobs or a history, by name."""
        census, workers = await asyncio.gather(self._census.get(), self.workers())
        return await tasks_of(self._queries, census, workers, self._known_here())

    async def periodic(self) -> list[PeriodicState]:
        """Return the periodic tasks that workers have told of, by name."""
        return await periodic_states(self._queries)

    async def locks(self) -> list[LockState]:
        """Return the locks with the longest lines, up to 100, the longest first."""
        return await self._locks.get()

    async def error_groups(self, within_s: float = 3600) -> list[ErrorGroup]:
        """Return what failed in the last `within_s` seconds (at most 7 days), the most frequent first."""
        check_within(within_s, at_most_s=ERRORS_WITHIN_MAX_S)
        if within_s == HOUR_S:
            return await self._errors.get()
        return await error_groups(self._queries, within_s)

    async def history(
        self, within_s: float = 3600, *, queue: str | None = None, task: str | None = None
    ) -> list[TallyPoint]:
        """Return what ended in the last `within_s` seconds (at most 30 days), the oldest step first.

        Steps are a minute or, for a longer time, so long that there are at most 180.
        """
        check_within(within_s, at_most_s=HISTORY_WITHIN_MAX_S)
        return await history(
            self._queries,
            within_s,
            None if queue is None else check_name("queue", queue),
            None if task is None else check_name("task", task),
        )

    async def findings(self) -> list[Finding]:
        """Return what is wrong, the worst first. Empty: all is well."""
        return await findings_of(self._queries, await self._picture())

    # -- deeds --------------------------------------------------------------------------------------

    async def pause_queue(self, queue: str) -> bool:
        """Let nobody claim from a queue. False: it was paused already. Raises `InvalidArgument`."""
        return await self._app.pause_queue_async(queue)

    async def resume_queue(self, queue: str) -> bool:
        """Let workers claim from a queue again. False: it was not paused. Raises `InvalidArgument`."""
        return await self._app.resume_queue_async(queue)

    async def pause_periodic(self, task: str, periodic_id: str = "") -> bool:
        """Skip a periodic task's ticks from now on. False: it was paused already.

        Raises `InvalidArgument` if neither a worker nor this app knows it.
        """
        return await self._app.pause_periodic_async(task, periodic_id)

    async def resume_periodic(self, task: str, periodic_id: str = "") -> bool:
        """Defer a periodic task's ticks again from now on. False: it was not paused.

        Raises `InvalidArgument` if neither a worker nor this app knows it.
        """
        return await self._app.resume_periodic_async(task, periodic_id)

    async def run_periodic_now(self, task: str, periodic_id: str = "") -> int:
        """Defer a job of a periodic task, for now; return its id.

        Raises `InvalidArgument` if no worker has told of such a task, and `AlreadyEnqueued`.
        """
        check_name("task", task)
        job_id = await run_now(self._app, self._queries, task, check_periodic_id(periodic_id))
        self._forget()
        return job_id

    async def retry(self, ids: Sequence[int], changes: Changes = UNCHANGED) -> ActionResult:
        """Let jobs that failed, were aborted or were cancelled run again: now, unless `changes` say when."""
        return await self.do("retry", ids, changes)

    async def cancel(self, ids: Sequence[int]) -> ActionResult:
        """Cancel jobs that wait."""
        return await self.do("cancel", ids)

    async def abort(self, ids: Sequence[int]) -> ActionResult:
        """Ask running jobs to stop."""
        return await self.do("abort", ids)

    async def reschedule(self, ids: Sequence[int], at: datetime) -> ActionResult:
        """Make jobs that wait due at that time."""
        return await self.do("reschedule", ids, Changes(at=at))

    async def delete(self, ids: Sequence[int]) -> ActionResult:
        """Delete jobs that wait or have finished, with their attempts and results."""
        return await self.do("delete", ids)

    async def do(
        self, action: Action, ids: Sequence[int], changes: Changes = UNCHANGED
    ) -> ActionResult:
        """Do any of these to jobs; `changes` are for `retry` and `reschedule`. Raises `InvalidArgument`."""
        checked = check_ids(ids)
        check_action(action)
        changes.check(action)
        try:
            return await self._actions.do(action, checked, changes)
        finally:
            self._forget()

    def _forget(self) -> None:
        """Count anew: something was done."""
        self._census.forget()
        self._locks.forget()

    async def preview(self, action: Action, filter: JobFilter) -> Preview:  # noqa: A002
        """Say what `apply` would do, as far as can be counted in a fraction of a second.

        Raises `InvalidArgument`.
        """
        check_action(action)
        return await self._actions.preview(action, check_filter(filter))

    async def preview_of(self, action: Action, ids: Sequence[int]) -> Preview:
        """Say what the action would do to these jobs. Raises `InvalidArgument`."""
        check_action(action)
        return await self._actions.preview_of(action, check_ids(ids))

    async def apply(
        self,
        action: Action,
        filter: JobFilter,  # noqa: A002
        *,
        expected_max: int,
        at: datetime | None = None,
    ) -> ActionResult:
        """Do it to the jobs of a filter, up to `expected_max` of them, in transactions of up to 1,000.

        `at` is for `reschedule` and `retry`. What a job has become meanwhile counts, not what the preview
        said. Raises `InvalidArgument`.
        """
        check_action(action)
        changes = Changes(at=at)
        changes.check(action)
        check_filter(filter)
        check_count("expected_max", expected_max)
        try:
            return await self._actions.apply(
                action, filter, expected_max=expected_max, changes=changes
            )
        finally:
            self._forget()

    async def _picture(self) -> Picture:
        census, workers = await asyncio.gather(self._census.get(), self.workers())
        return await picture_of(self._queries, census, workers, self._known_here())

    async def _ask_locks(self) -> list[LockState]:
        rows = await self._queries.rows("op_locks", cap=LINE_ROWS_MAX, size=LOCKS_MAX)
        return [LockState(**row) for row in rows]

    def _known_here(self) -> frozenset[str]:
        upstream.import_tasks(self._app)
        return frozenset(self._app.tasks)
