"""Completes a job in a transaction that its task's own SQL commits with."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from forthwith.database.failures import translated
from forthwith.database.pool import SIZE_MAX, Pool
from forthwith.database.task_pool import TaskPool
from forthwith.engine.ports import Fate, OtherDatabase, Place
from forthwith.errors import ForthwithError, InvalidArgument, LeaseLost
from forthwith.outcome import Succeeded
from forthwith.store import callers_connection
from forthwith.store.keeping import payloads_of
from forthwith.store.own_names import own_names, own_names_blocking
from forthwith.store.recording import Recording
from forthwith.store.statements import done_channel_of, statements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping

    from forthwith.database.database import Database
    from forthwith.database.line import Line
    from forthwith.job import ClaimedJob

IDLE_OWN_MS = 10_000
IDLE_CALLERS_MS = 30_000
"""How long a client may be idle between the completion and the commit. Meanwhile the job's row is
locked: for a rescue, too, when the worker has been frozen there."""

ENDED_TWICE = (
    "This run has completed its job already: use context.transaction() or context.complete_in() once in "
    "a run, for all of its work"
)


class Step(NamedTuple):
    """A statement that is to be run in the transaction."""

    name: str
    parameters: Mapping[str, Any]


class Completing:
    """Fits the engine's port of the same name."""

    def __init__(
        self,
        database: Database,
        asking: Line,
        *,
        schema: str,
        keeps: Callable[[str], bool],
    ) -> None:
        self._statements = statements(schema)
        self._done_channel = done_channel_of(schema)
        self._asking = asking
        self._keeps = keeps
        self._place: Place | None = None
        self._pool = Pool(database)
        self._free = asyncio.Semaphore(SIZE_MAX)
        self._task_pool = TaskPool(database)

    # -- a transaction of ours ----------------------------------------------------------------------

    @asynccontextmanager
    async def transaction(
        self, job: ClaimedJob, note: Callable[[str], None], *, tells: bool = False
    ) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        async with (
            self._free,  # who finds no connection waits; the pool's own patience is for connecting
            self._pool.lent() as connection,
            connection.transaction(),
        ):
            yield connection
            with translated():
                note(await self._completed(connection, self._steps(job, IDLE_OWN_MS, tells=tells)))

    @contextmanager
    def transaction_blocking(
        self, job: ClaimedJob, note: Callable[[str], None], *, tells: bool = False
    ) -> Iterator[psycopg.Connection[Any]]:
        with self._task_pool.lent() as connection, connection.transaction():
            yield connection
            with translated():
                steps = self._steps(job, IDLE_OWN_MS, tells=tells)
                note(self._completed_blocking(connection, steps))

    # -- a transaction of the caller's --------------------------------------------------------------

    def is_async(self, connection: object) -> bool:
        return callers_connection.is_async(connection)

    async def complete_in(
        self,
        job: ClaimedJob,
        connection: object,
        place: Place,
        earlier: str | None,
        *,
        tells: bool = False,
    ) -> str:
        with callers_connection.in_callers_transaction():
            driver = await callers_connection.async_connection(connection)
            _check_open(driver)
            steps = self._steps(job, IDLE_CALLERS_MS, place, earlier, tells=tells)
            return await self._completed(driver, steps)

    def complete_in_blocking(
        self,
        job: ClaimedJob,
        connection: object,
        place: Place,
        earlier: str | None,
        *,
        tells: bool = False,
    ) -> str:
        with callers_connection.in_callers_transaction():
            driver = callers_connection.blocking_connection(connection)
            _check_open(driver)
            steps = self._steps(job, IDLE_CALLERS_MS, place, earlier, tells=tells)
            return self._completed_blocking(driver, steps)

    # -- what became of it --------------------------------------------------------------------------

    async def place(self, *, afresh: bool = False) -> Place:
        if self._place is None or afresh:
            rows = await self._ask("transaction_place", earlier=None)
            self._place = Place(*rows[0][:2])
        return self._place

    async def fate_of(self, job: ClaimedJob, transaction_id: str) -> Fate:
        [(status,)] = await self._ask("transaction_status", transaction_id=transaction_id)
        if status == "in progress":
            return Fate.OPEN
        if status == "aborted":
            return Fate.ROLLED_BACK
        # Committed, but perhaps without the completion: a savepoint around it was rolled back. Or not
        # known, after a failover: then the row tells. This statement's snapshot is younger than the answer.
        [(is_held,)] = await self._ask("held", id=job.id, lease_token=job.lease_token)
        return Fate.ROLLED_BACK if is_held else Fate.COMMITTED

    async def close(self) -> None:
        self._pool.hang_up()
        await self._pool.close()
        await asyncio.to_thread(self._task_pool.close)

    # -----------------------------------------------------------------------------------------------

    def _steps(
        self,
        job: ClaimedJob,
        idle_ms: int,
        expected: Place | None = None,
        earlier: str | None = None,
        *,
        tells: bool = False,
    ) -> Generator[Step, list[tuple[Any, ...]], str]:
        """Complete the job under the fence; return the transaction's id."""
        recording = Recording([Succeeded(job)], self._keeps)
        [row] = yield Step("transaction_place", {"earlier": earlier})
        *place, isolation, transaction_id, present_idle_ms, fate = row
        if expected is not None and Place(*place) != expected:
            raise OtherDatabase
        if fate == "in progress" and earlier != transaction_id:
            raise ForthwithError(ENDED_TWICE)  # to wait for that transaction would be for ever
        if job.lock is not None:
            callers_connection.check_sees_lines(isolation)
        # Before the job's row is locked: packets may vanish after any of these statements.
        if not 0 < present_idle_ms <= idle_ms:
            yield Step("limit_idling", {"milliseconds": idle_ms})
        if not (yield Step("complete", recording.ends[0])):
            raise LeaseLost if earlier is None else ForthwithError(ENDED_TWICE)
        if locks := recording.locks_of({job.id}):
            yield Step("advance_lines", {"locks": locks})
        if tells:
            yield Step(
                "tell_done", {"channel": self._done_channel, "payloads": payloads_of([job.id])}
            )
        return transaction_id  # type: ignore[no-any-return]

    async def _completed(
        self,
        connection: psycopg.AsyncConnection[Any],
        steps: Generator[Step, list[tuple[Any, ...]], str],
    ) -> str:
        async with (
            own_names(connection),
            psycopg.AsyncCursor(connection, row_factory=tuple_row) as cursor,
        ):
            step = next(steps)
            while True:
                await cursor.execute(self._statements[step.name], step.parameters)
                try:
                    step = steps.send(await cursor.fetchall())
                except StopIteration as end:
                    return str(end.value)

    def _completed_blocking(
        self,
        connection: psycopg.Connection[Any],
        steps: Generator[Step, list[tuple[Any, ...]], str],
    ) -> str:
        with (
            own_names_blocking(connection),
            psycopg.Cursor(connection, row_factory=tuple_row) as cursor,
        ):
            step = next(steps)
            while True:
                cursor.execute(self._statements[step.name], step.parameters)
                try:
                    step = steps.send(cursor.fetchall())
                except StopIteration as end:
                    return str(end.value)

    async def _ask(self, name: str, /, **parameters: Any) -> list[tuple[Any, ...]]:
        async with self._asking.use() as connection:
            cursor = await connection.execute(self._statements[name], parameters)
            return await cursor.fetchall()


def _check_open(driver: psycopg.AsyncConnection[Any] | psycopg.Connection[Any]) -> None:
    if driver.info.transaction_status is TransactionStatus.IDLE:  # it commits by itself
        raise InvalidArgument(
            callers_connection.ARGUMENT,
            "is in autocommit mode with no transaction open, so the completion would be committed alone: "
            "begin the transaction that your own SQL commits with",
        )
