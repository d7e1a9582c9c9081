"""What a running job can ask about itself: the job, its deadline, whether to stop."""

from __future__ import annotations

import time
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol, overload

import attr
from procrastinate import job_context

from forthwith.errors import ForthwithError
from forthwith.options import check_progress

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from types import TracebackType

    import psycopg

    from forthwith.connection import AsyncConnection, BlockingConnection

__all__ = ["AbortReason", "JobContext", "Transaction"]


class Transaction(Protocol):
    """A transaction that the job's completion commits with: for `async with`, or for `with`."""

    async def __aenter__(self) -> psycopg.AsyncConnection[Any]:
        """Begin, in an async task."""

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        """Complete the job and commit, or roll back."""

    def __enter__(self) -> psycopg.Connection[Any]:
        """Begin, in a sync task."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> bool | None:
        """Complete the job and commit, or roll back."""


class Completion(Protocol):
    """What the engine gives a context to complete its job with."""

    def transaction(self) -> Transaction:
        """Return a transaction of forthwith's."""

    def complete_in(self, connection: object) -> Coroutine[Any, Any, None] | None:
        """Complete the job in a transaction of the caller's."""


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
    #: What completes the job in a transaction; None where nothing can.
    completion: Completion | None = attr.ib(default=None, repr=False)
    #: What takes in the job's progress; None where nobody does.
    say: Callable[[float, float | None, str | None], None] | None = attr.ib(
        default=None, repr=False
    )

    def remaining_s(self) -> float | None:
        """Return the seconds until the job times out (never below zero), or None without timeout.

        ```python
        await client.get(url, timeout=context.remaining_s())
        ```
        """
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def progress(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """Say how far the job is: `done` of `total`, in whatever unit, and perhaps a word about it.

        For people who look at the job while it runs. Call it as often as you like, from async tasks and
        from threads: it never waits, and the database hears of it at once, then at most once a second,
        with the last word. It raises nothing but `InvalidArgument`: for numbers that are not finite or
        below zero, a `done` above the `total`, or a `note` of more than 200 characters.

        ```python
        for number, page in enumerate(pages):
            context.progress(number, len(pages), f"reading {page}")
        ```
        """
        said = check_progress(done, total, note)
        if self.say is not None:
            self.say(*said)

    def transaction(self) -> Transaction:
        """Open a transaction in which the task's own SQL and the job's completion commit together.

        Either both take effect or neither does, so the SQL has its effect exactly once. The job has
        succeeded when the block ends; an exception in the block rolls it back and the job fails or
        is retried as usual. `async with` gives an asynchronous psycopg connection; in a sync task,
        `with` gives a synchronous one.

        ```python
        async with context.transaction() as connection:
            await connection.execute("update account set balance = balance - %s", [amount])
        ```

        Raises `LeaseLost`, and commits nothing, if another worker has taken the job over;
        `ForthwithError` if the run has completed its job already, or is not one of forthwith's
        worker.
        """
        return self._own_completion("transaction").transaction()

    @overload
    def complete_in(self, connection: AsyncConnection) -> Coroutine[Any, Any, None]: ...
    @overload
    def complete_in(self, connection: BlockingConnection) -> None: ...
    def complete_in(
        self, connection: AsyncConnection | BlockingConnection
    ) -> Coroutine[Any, Any, None] | None:
        """Record the job's success in your own open transaction: it takes effect with your commit.

        `connection` is psycopg's, SQLAlchemy's (a session, too; over psycopg) or Django's, to the
        worker's database. With an asynchronous one, await the call. Let it be the last statement of
        the transaction, and commit before the task returns: a run whose transaction was rolled back
        fails, or is retried, as usual. The server ends a transaction that idles for 30 seconds after it.

        ```python
        async with AsyncSession(engine) as session, session.begin():
            session.add(Payment(amount))
            await context.complete_in(session)
        ```

        Raises `LeaseLost` if another worker has taken the job over: let it pass, so that your
        transaction rolls back. `InvalidArgument` for a connection that cannot be used, or that leads
        to another database; `ForthwithError` if the run has completed its job already.
        """
        return self._own_completion("complete_in").complete_in(connection)

    def _own_completion(self, name: str) -> Completion:
        if self.completion is None:
            raise ForthwithError(
                f"context.{name}() works in tasks that a forthwith worker runs on PostgreSQL: run "
                "this one with forthwith's own worker"
            )
        return self.completion
