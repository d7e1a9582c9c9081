"""What jobs returned: for tasks with `keep_result`."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from forthwith.connector import Connector
from forthwith.errors import ForthwithError, JobCancelled, JobFailed, NoResult
from forthwith.options import check_count, check_positive

if TYPE_CHECKING:
    from forthwith.store.results import End


class Results:
    """Waits for results, and hands them out."""

    connector: Any

    async def result(self, job_id: int, *, timeout: float | None = None) -> Any:
        """Wait until a job has ended, and return what its task returned.

        The task must have `keep_result=True`. What it returned comes back as JSON keeps it: a tuple is
        a list. A job that is retried is waited for. `timeout` is in seconds; None waits as long as it
        takes. All who wait in one event loop share one connection that listens.

        Raises `JobFailed` if the job failed or was aborted, with the traceback from the worker;
        `JobCancelled` if it was cancelled; `TimeoutError` if it has not ended by then; `NoResult` if there
        is no such job, or if it succeeded and its result is not kept: its task has no `keep_result`, it
        is older than `result_ttl`, or the task completed the job in a transaction itself. And
        `InvalidArgument`, `NotPermitted`, `DatabaseUnavailable`.

        ```python
        job_id = await resize.defer_async(picture="cat.png")
        size = await app.result(job_id, timeout=60)
        ```
        """
        check_count("job_id", job_id, at_most=2**63 - 1)
        if timeout is not None:
            check_positive("timeout", timeout)
        connector = self._own_connector()
        try:
            async with asyncio.timeout(timeout) as scope:
                end = await connector.call(lambda session: session.results.end_of(job_id))
        except TimeoutError:
            if scope.expired():
                raise TimeoutError(f"Job {job_id} has not ended within {timeout:g} s") from None
            raise
        return _value(job_id, end, connector)

    def get_result(self, job_id: int, *, timeout: float | None = None) -> Any:
        """As `result`, synchronously."""
        return self._own_connector().run(lambda _session: self.result(job_id, timeout=timeout))

    def _own_connector(self) -> Connector:
        if not isinstance(self.connector, Connector):
            raise ForthwithError(
                "Results are kept on PostgreSQL alone: the app's connector is "
                f"{type(self.connector).__name__}"
            )
        return self.connector


def _value(job_id: int, end: End, connector: Connector) -> Any:
    """Return what the job returned, or raise what became of it."""
    if end.is_kept and end.value is not None:
        return (connector.json_loads or json.loads)(end.value)
    if end.status is None:
        raise NoResult(f"There is no job {job_id}, or nothing is kept of it")
    if end.status == "succeeded":
        raise NoResult(
            f"Job {job_id} has succeeded, and no result of it is kept: its task has no keep_result, "
            "the result has expired (result_ttl), or the task completed the job itself"
        )
    if end.status == "cancelled":
        raise JobCancelled(job_id, end.status)
    raise JobFailed(
        job_id,
        end.status,
        exception_type=end.exception_type,
        message=end.message,
        traceback=end.traceback,
    )
