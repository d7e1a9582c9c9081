"""The desk as the web sees it: secrets never leave it, and nobody finds them by searching either."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from forthwith.errors import InvalidArgument
from forthwith.operations import ActionResult, Changes, Desk, JobPage, Preview
from forthwith.operations.deeds import APPLIES_TO, BATCH_MAX
from forthwith.operations.job_filter import ALL_JOBS
from forthwith.operations.places import ALL_STATES
from forthwith.options import check_count
from forthwith.web.found import Found, contains
from forthwith.web.redaction import HIDDEN, all_hidden, redacted

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from datetime import datetime

    from forthwith.app import App
    from forthwith.operations import Action, JobFilter, JobSummary, JobView, Result
    from forthwith.web.redaction import IsSecret

LOOK_JOBS = 500
LOOK_S = 0.1
APPLY_LOOK_S = 10.0
PREVIEW_JOBS_MAX = 10_000
SAMPLE = 10


class DiscreetDesk(Desk):
    """A desk that hides secrets in arguments and results.

    A text is searched for in what is shown alone. The database must not do it: it would find hidden
    values too, and whether a job is found, or how far a call has looked, would tell what they are.
    """

    def __init__(self, app: App, *, is_secret: IsSecret, hide_arguments: bool) -> None:
        """Make a desk; nothing connects yet. With `hide_arguments`, all of them are secrets."""
        super().__init__(app)
        self._hides_all = hide_arguments
        self._arguments: Callable[[dict[str, Any]], dict[str, Any]] = (
            all_hidden if hide_arguments else partial(redacted, is_secret=is_secret)
        )
        self._value: Callable[[Any], Any] = (
            (lambda _: HIDDEN) if hide_arguments else partial(redacted, is_secret=is_secret)
        )

    async def jobs(
        self,
        filter: JobFilter = ALL_JOBS,  # noqa: A002
        *,
        limit: int = 50,
        after: str | None = None,
    ) -> JobPage:
        """Return a page of jobs, see `Desk.jobs`. Raises `InvalidArgument`."""
        self._check(filter)
        if filter.text is None:
            page = await super().jobs(filter, limit=limit, after=after)
            return replace(page, jobs=[self._summary(job) for job in page.jobs])
        check_count("limit", limit)
        return await self._jobs_with_text(filter, limit, after)

    async def job(self, job_id: int) -> JobView | None:
        """Return all that is known of a job, see `Desk.job`."""
        view = await super().job(job_id)
        if view is None:
            return None
        return replace(
            view,
            job=self._summary(view.job),
            args=self._arguments(view.args),
            result=self._result(view.result),
        )

    async def preview(self, action: Action, filter: JobFilter) -> Preview:  # noqa: A002
        """Say what an action would do, see `Desk.preview`. Raises `InvalidArgument`."""
        self._check(filter)
        if filter.text is not None:
            return await self._preview_with_text(action, filter)
        return self._shown(await super().preview(action, filter))

    async def preview_of(self, action: Action, ids: Sequence[int]) -> Preview:
        """Say what an action would do to these jobs, see `Desk.preview_of`. Raises `InvalidArgument`."""
        return self._shown(await super().preview_of(action, ids))

    async def apply(
        self,
        action: Action,
        filter: JobFilter,  # noqa: A002
        *,
        expected_max: int,
        at: datetime | None = None,
    ) -> ActionResult:
        """Do it, see `Desk.apply`. Raises `InvalidArgument`."""
        self._check(filter)
        if filter.text is None:
            return await super().apply(action, filter, expected_max=expected_max, at=at)
        check_count("expected_max", expected_max)
        changes = Changes(at=at)
        changes.check(action)
        found = await self._find(filter, APPLIES_TO[action], expected_max, APPLY_LOOK_S)
        done = 0
        for start in range(0, len(found.jobs), BATCH_MAX):
            ids = [job.id for job in found.jobs[start : start + BATCH_MAX]]
            done += (await self.do(action, ids, changes)).done
        return ActionResult(action, done, found.skipped(action), is_complete=found.is_complete)

    def _check(self, filter: JobFilter) -> None:  # noqa: A002
        if self._hides_all and filter.text is not None:
            raise InvalidArgument(
                "text", "cannot be searched for: this dashboard hides all arguments"
            )

    async def _jobs_with_text(self, filter: JobFilter, limit: int, after: str | None) -> JobPage:  # noqa: A002
        found = await self._find(filter, ALL_STATES, limit, LOOK_S, after)
        return JobPage(found.jobs, found.next_cursor, found.looked_back_to, found.is_complete)

    async def _preview_with_text(self, action: Action, filter: JobFilter) -> Preview:  # noqa: A002
        found = await self._find(filter, APPLIES_TO[action], PREVIEW_JOBS_MAX, LOOK_S)
        return Preview(
            action,
            len(found.jobs),
            is_exact=found.is_complete,
            sample=found.jobs[:SAMPLE],
            skipped=found.skipped(action),
        )

    async def _find(
        self,
        filter: JobFilter,  # noqa: A002
        states: Container[str],
        wanted: int,
        look_s: float,
        after: str | None = None,
    ) -> Found:
        """Look through jobs for a filter's text, until so many in these states are found or time is up."""
        assert filter.text is not None
        anything = replace(filter, text=None)
        found = Found(next_cursor=after)
        give_up_s = time.monotonic() + look_s
        while True:
            page = await super().jobs(anything, limit=LOOK_JOBS, after=found.next_cursor)
            for job in map(self._summary, page.jobs):
                if contains(job, filter.text):
                    found.add(job, states)
                if len(found.jobs) == wanted:
                    found.stop_at(job)
                    return found
            found.go_on(page)
            if found.next_cursor is None or not page.is_complete or time.monotonic() >= give_up_s:
                return found

    def _shown(self, preview: Preview) -> Preview:
        return replace(preview, sample=[self._summary(job) for job in preview.sample])

    def _summary(self, job: JobSummary) -> JobSummary:
        return job if job.args is None else replace(job, args=self._arguments(job.args))

    def _result(self, result: Result | None) -> Result | None:
        return None if result is None else replace(result, value=self._value(result.value))
