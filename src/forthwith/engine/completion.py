"""A run that completes its job itself, in a transaction that its own SQL commits with."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from forthwith.context import AbortReason
from forthwith.engine.backoff import Backoff
from forthwith.engine.ports import Fate, OtherDatabase
from forthwith.errors import DatabaseUnavailable, ForthwithError, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType

    import psycopg

    from forthwith.engine.ports import Completing, JobStore, Place
    from forthwith.job import ClaimedJob

R = TypeVar("R")

ASK_AGAIN_S = 0.25
"""How soon to ask again about a transaction that has not ended."""


class Completion:
    """What a run knows of its own completion: whether it was sent, and whether it was committed.

    It was sent once the fenced statement is in a transaction, of whose id notice is taken before the
    commit. From then on the database alone knows. It is asked when a commit fails, for its answer may
    have been lost, and at the end of a run in whose course the caller's transaction was used.
    """

    def __init__(
        self,
        job: ClaimedJob,
        store: JobStore,
        why_abort: Callable[[], AbortReason | None],
        *,
        tells: bool = False,
    ) -> None:
        """With `tells`, somebody may wait for what becomes of the job."""
        self._job = job
        self._tells = tells
        self._store = store
        self._why_abort = why_abort
        self._loop = asyncio.get_running_loop()
        self._is_open = False
        self._transaction_id: str | None = None
        self._is_committed = False

    @property
    def _completing(self) -> Completing:
        return self._store.completing

    # -- what the task does -------------------------------------------------------------------------

    def transaction(self) -> TaskTransaction:
        """Return a transaction of ours, for `async with` or `with`."""
        return TaskTransaction(self._transaction, self._transaction_blocking)

    def complete_in(self, connection: object) -> Coroutine[Any, Any, None] | None:
        """Complete the job in the caller's transaction: to be awaited if the connection is async."""
        if self._completing.is_async(connection):
            return self._complete_in(connection)
        self._complete_in_blocking(connection)
        return None

    # -- what the runner asks -----------------------------------------------------------------------

    async def is_committed(self) -> bool:
        """Whether the job has been completed. Waits until that is certain, or the worker stops."""
        if self._is_committed or self._transaction_id is None:
            return self._is_committed
        try:
            return await self._fate() is Fate.COMMITTED
        except (
            asyncio.CancelledError
        ):  # an abort: what the runner sends is fenced, whatever is true
            return False

    def omission(self) -> ForthwithError | None:
        """Return what is wrong with a run that returned though its completion is not committed."""
        if self._transaction_id is None:
            return None
        return ForthwithError(
            "The task completed its job in a transaction, and returned though that was not committed: after "
            "context.complete_in() commit before the task ends, or let the exception pass that prevented it"
        )

    # -- transactions of ours -----------------------------------------------------------------------

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        if asyncio.get_running_loop() is not self._loop:
            raise ForthwithError(
                "`async with context.transaction()` works in the worker's event loop alone; in the "
                "thread of a sync task write `with context.transaction()`"
            )
        self._check_unused()
        if self._transaction_id is not None:
            await self._forget_rolled_back()
        self._is_open = True
        try:
            async with self._completing.transaction(
                self._job, self._note, tells=self._tells
            ) as connection:
                yield connection
        except Exception:
            if self._transaction_id is None or await self._fate() is not Fate.COMMITTED:
                self._transaction_id = None
                raise
        finally:
            self._is_open = False
        self._is_committed = True

    @contextmanager
    def _transaction_blocking(self) -> Iterator[psycopg.Connection[Any]]:
        self._check_thread("with context.transaction()", "async with context.transaction()")
        self._check_unused()
        if self._transaction_id is not None:
            self._ask(self._forget_rolled_back)
        self._is_open = True
        try:
            with self._completing.transaction_blocking(
                self._job, self._note, tells=self._tells
            ) as connection:
                yield connection
        except Exception:
            if self._transaction_id is None or self._ask(self._fate) is not Fate.COMMITTED:
                self._transaction_id = None
                raise
        finally:
            self._is_open = False
        self._is_committed = True

    async def _forget_rolled_back(self) -> None:
        """After a complete_in that came to nothing, the task may use a transaction of ours."""
        assert self._transaction_id is not None
        fate = await self._completing.fate_of(self._job, self._transaction_id)
        if fate is not Fate.ROLLED_BACK:
            raise ForthwithError(
                "context.complete_in() has completed the job in this run, or its transaction is still "
                "open: use either that or context.transaction(), once in a run"
            )
        self._transaction_id = None

    # -- transactions of the caller's ---------------------------------------------------------------

    async def _complete_in(self, connection: object) -> None:
        self._check_unused()
        try:
            place = await self._asked(self._completing.place)
            transaction_id = await self._completing.complete_in(
                self._job, connection, place, self._transaction_id, tells=self._tells
            )
        except OtherDatabase:  # or the server was started anew since we asked
            place = await self._asked(self._place_afresh)
            with _named():
                transaction_id = await self._completing.complete_in(
                    self._job, connection, place, self._transaction_id, tells=self._tells
                )
        self._note(transaction_id)

    def _complete_in_blocking(self, connection: object) -> None:
        self._check_unused()
        self._check_thread("complete_in() with a synchronous connection", "an asynchronous one")
        try:
            place = self._ask(self._completing.place)
            transaction_id = self._completing.complete_in_blocking(
                self._job, connection, place, self._transaction_id, tells=self._tells
            )
        except OtherDatabase:
            place = self._ask(self._place_afresh)
            with _named():
                transaction_id = self._completing.complete_in_blocking(
                    self._job, connection, place, self._transaction_id, tells=self._tells
                )
        self._note(transaction_id)

    async def _place_afresh(self) -> Place:
        return await self._completing.place(afresh=True)

    # -----------------------------------------------------------------------------------------------

    def _note(self, transaction_id: str) -> None:
        self._transaction_id = transaction_id

    def _check_unused(self) -> None:
        if self._is_committed:
            raise ForthwithError(
                f"Job {self._job.id} has been completed with its first transaction: do all of its work "
                "in one context.transaction() block"
            )
        if self._is_open:
            raise ForthwithError(
                "context.transaction() is open already, and completes the job when its block ends: use "
                "its connection, and do not complete the job otherwise"
            )

    async def _fate(self) -> Fate:
        """Ask until it is known, or the worker stops."""
        assert self._transaction_id is not None
        backoff = Backoff()
        while True:
            try:
                fate = await self._completing.fate_of(self._job, self._transaction_id)
                wait_s = ASK_AGAIN_S
            except DatabaseUnavailable:
                fate, wait_s = Fate.OPEN, backoff.next_s()
            if fate is not Fate.OPEN or self._why_abort() is AbortReason.SHUTDOWN:
                return fate
            await asyncio.sleep(wait_s)

    @staticmethod
    def _check_thread(what: str, instead: str) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        raise ForthwithError(
            f"{what} would block the event loop: use {instead} here, or write the task as a plain function"
        )

    async def _asked(self, question: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Ask in the worker's event loop, from whichever this is."""
        if asyncio.get_running_loop() is self._loop:
            return await question()
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(question(), self._loop))

    def _ask(self, question: Callable[[], Coroutine[Any, Any, R]]) -> R:
        """Ask in the worker's event loop, from the thread of a sync task."""
        return asyncio.run_coroutine_threadsafe(question(), self._loop).result()


class TaskTransaction:
    """A transaction for `async with` in async tasks, and for `with` in sync ones."""

    def __init__(
        self,
        make: Callable[[], AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]],
        make_blocking: Callable[[], AbstractContextManager[psycopg.Connection[Any]]],
    ) -> None:
        self._make = make
        self._make_blocking = make_blocking
        self._block: Any = None

    async def __aenter__(self) -> psycopg.AsyncConnection[Any]:
        """Begin. Raises `DatabaseUnavailable`, and `ForthwithError` if there is no second one."""
        self._block = block = self._make()
        return await block.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Complete the job and commit, or roll back."""
        return await self._block.__aexit__(kind, error, traceback)  # type: ignore[no-any-return]

    def __enter__(self) -> psycopg.Connection[Any]:
        """Begin. Raises as `__aenter__`."""
        self._block = block = self._make_blocking()
        return block.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Complete the job and commit, or roll back."""
        return self._block.__exit__(kind, error, traceback)  # type: ignore[no-any-return]


@contextmanager
def _named() -> Iterator[None]:
    """Turn `OtherDatabase` into what the user sees."""
    try:
        yield
    except OtherDatabase:
        raise InvalidArgument(
            "connection",
            "leads to another database than the worker's, so the completion could not commit with it: "
            "pass a connection to the database that the worker runs on",
        ) from None
