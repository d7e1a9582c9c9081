"""Lets concurrent single defers share a statement."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import TYPE_CHECKING

from forthwith.store.deferring import already_enqueued

if TYPE_CHECKING:
    from forthwith.database.pool import Pool
    from forthwith.job import NewJob
    from forthwith.store.deferring import Deferring

BATCH_MAX = 500
STATEMENTS_MAX = 2


class SharedDefer:
    """Gathers what is deferred while a statement is in flight, and sends it together.

    A defer that comes alone goes at once. Each caller gets his own id or his own error; a failed
    statement is everybody's error, for nothing of it was committed.
    """

    def __init__(self, pool: Pool, deferring: Deferring) -> None:
        self._pool = pool
        self._deferring = deferring
        self._waiting: list[tuple[NewJob, asyncio.Future[int]]] = []
        self._senders: dict[int, asyncio.Task[None]] = {}
        self._numbers = count()

    async def defer(self, job: NewJob) -> int:
        """Defer one job and return its id. Raises `AlreadyEnqueued` and `DatabaseUnavailable`."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((job, future))
        if len(self._senders) < STATEMENTS_MAX:
            number = next(self._numbers)
            sender = asyncio.create_task(self._send(number), name="shared defer")
            self._senders[number] = sender
            sender.add_done_callback(lambda _: self._senders.pop(number, None))
        return await future

    async def _send(self, number: int) -> None:
        try:
            await self._send_all()
        finally:  # at once: a job that comes before our callback must not count on us
            self._senders.pop(number, None)

    async def _send_all(self) -> None:
        while self._waiting:
            batch = self._waiting[:BATCH_MAX]
            del self._waiting[:BATCH_MAX]
            # Who has gone (his call was cancelled before it was sent) wants no job.
            batch = [(job, future) for job, future in batch if not future.done()]
            if batch:
                await self._send_batch(batch)

    async def _send_batch(self, batch: list[tuple[NewJob, asyncio.Future[int]]]) -> None:
        try:
            async with self._pool.connection() as connection:
                ids = await self._deferring.insert(connection, [job for job, _ in batch])
                _answer(batch, ids)
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise


def _answer(batch: list[tuple[NewJob, asyncio.Future[int]]], ids: list[int | None]) -> None:
    """Give each caller his id or his error."""
    for (job, future), job_id in zip(batch, ids, strict=True):
        if future.done():
            continue
        if job_id is None:
            future.set_exception(already_enqueued(job))
        else:
            future.set_result(job_id)
