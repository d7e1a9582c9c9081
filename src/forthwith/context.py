"""What a running job can ask about itself: the job, its deadline, whether to stop."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeAlias

import attr
from procrastinate import job_context

from forthwith.errors import ForthwithError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    import psycopg

__all__ = ["AbortReason", "JobContext", "Transaction"]

Transaction: TypeAlias = "AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]"
"""A transaction that the job's completion commits with."""


class AbortReason(Enum):
    """Why a running job should stop.

    Procrastinate's members of the same names compare equal, and hash alike: an enumeration cannot
    be extended, so this one has to be another.
    """

    USER_REQUEST = "user_request"  #: somebody cancelled the job with `abort=True`
    SHUTDOWN = "shutdown"  #: the worker stops, and its grace period is over
    TIMEOUT = "timeout"  #: the job ran longer than its task's `timeout`

    def __eq__(self, other: object) -> bool:
        if isinstance(other, job_context.AbortReason):
            return bool(self.value == other.value)
        return self is other

    __hash__ = Enum.__hash__  # by the member's name, like Procrastinate's


@attr.dataclass(frozen=True, kw_only=True)
class JobContext(job_context.JobContext):
    """What a task with `pass_context=True` gets as its first argument.

    It has all of Procrastinate's attributes (`app`, `job`, `task`, `worker_name`, `worker_queues`,
    `start_timestamp`, `additional_context`) and `should_abort()`, and those below.
    """

    #: Returns why the job should stop, or None: `context.abort_reason()`.
    abort_reason: Callable[[], AbortReason | None]  # type: ignore[assignment]  # one reason more
    #: The fencing token of this run's claim: new at each claim, and larger than any earlier one of the
    #: job. Pass it to systems that can refuse what comes with an older token than they have seen.
    lease_token: int = 0
    #: The task's `timeout` in seconds, or None.
    timeout_s: float | None = None
    #: When the job times out, by `time.monotonic()`, or None.
    deadline: float | None = None
    #: How the engine opens `transaction()`; None where it cannot.
    open_transaction: Callable[[], Transaction] | None = attr.ib(default=None, repr=False)

    def remaining_s(self) -> float | None:
        """Return the seconds until the job times out (never below zero), or None without timeout.

        ```python
        await client.get(url, timeout=context.remaining_s())
        ```
        """
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def transaction(self) -> Transaction:
        """Open a transaction in which the job's own SQL and its completion commit together.

        Either both take effect or neither does, so the SQL has its effect exactly once. The job has
        succeeded when the block ends; an exception in the block rolls it back and the job fails or
        is retried as usual. For async tasks.

        ```python
        async with context.transaction() as connection:
            await connection.execute("update account set balance = balance - %s", [amount])
        ```

        Raises `LeaseLost`, and commits nothing, if another worker has taken the job over;
        `ForthwithError` if there is no such transaction here.
        """
        if self.open_transaction is None:
            raise ForthwithError(
                "context.transaction() works in async tasks that a forthwith worker runs on "
                "PostgreSQL: make the task `async def`, and run it with forthwith's own worker"
            )
        return self.open_transaction()
