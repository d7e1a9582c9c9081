"""Waits for the ends of jobs, and finds what they returned."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from forthwith.database.line import Line
from forthwith.errors import AppNotOpen, ConnectorException
from forthwith.store.listening import PROBE_LIMIT_S, listen
from forthwith.store.own_session import OWN_SESSION
from forthwith.store.statements import DEFAULT_SCHEMA, done_channel_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.database.database import Database
    from forthwith.store.jobs import JobQueries

POLL_S = 2.0
"""How often to ask for what no notification told: where it was lost, or a job deleted by other means."""
LINGER_S = 1.0
"""For how long to go on listening when nobody waits: the next one may come soon."""
LISTEN_AGAIN_S = 1.0


class End(NamedTuple):
    """What there is to say of a job's end."""

    is_live: bool
    status: str | None
    """The final status; None while it is live, or if it is not known."""
    is_kept: bool
    value: str | None
    """What is kept, as JSON."""
    exception_type: str | None
    message: str | None
    traceback: str | None


class Results:
    """Who waits for which job, in one event loop. While anybody does, one connection listens for all."""

    def __init__(
        self, database: Database, queries: JobQueries, *, schema: str = DEFAULT_SCHEMA
    ) -> None:
        self._queries = queries
        self._channel = done_channel_of(schema)
        self._database = database
        self._is_closed = False
        self._waiting: defaultdict[int, set[asyncio.Event]] = defaultdict(set)
        self._listening: asyncio.Task[None] | None = None

    async def end_of(self, job_id: int) -> End:
        """Wait until the job has ended, or is not known. Raises `DatabaseUnavailable`."""
        end = await self._look(job_id)
        if not end.is_live:
            return end
        with self._hearing(job_id) as told:
            while True:
                await told.wait()
                told.clear()
                if self._is_closed:
                    raise AppNotOpen
                end = await self._look(job_id)
                if not end.is_live:
                    return end

    async def close(self) -> None:
        """Stop listening. Who waits gets `AppNotOpen`."""
        self._is_closed = True
        self._tell_all()
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _look(self, job_id: int) -> End:
        return End._make((await self._queries.rows_of("result", id=job_id))[0])

    @contextmanager
    def _hearing(self, job_id: int) -> Iterator[asyncio.Event]:
        """Have an event set whenever the job may have ended, at first when that is sure to be noticed."""
        told = asyncio.Event()
        self._waiting[job_id].add(told)
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen(), name="results")
        else:
            told.set()  # it may have begun to listen before, or will tell us when it does
        try:
            yield told
        finally:
            self._waiting[job_id].discard(told)
            if not self._waiting[job_id]:
                del self._waiting[job_id]

    async def _listen(self) -> None:
        """Listen, and poll, for as long as anybody waits and a little longer."""
        line = Line(self._database, settings=OWN_SESSION, answer_limit_s=PROBE_LIMIT_S)
        ear = asyncio.create_task(self._hear_all(line), name="results' ear")
        try:
            while self._waiting:
                await self._poll()
                await asyncio.sleep(POLL_S if self._waiting else LINGER_S)
        finally:
            self._listening = None  # who comes from now on needs another one
            ear.cancel()
            await asyncio.gather(ear, return_exceptions=True)
            await line.close()

    async def _hear_all(self, line: Line) -> None:
        while True:
            with suppress(ConnectorException):  # meanwhile we poll
                await listen(line, self._channel, self._hear, self._tell_all)
            await asyncio.sleep(LISTEN_AGAIN_S)

    async def _poll(self) -> None:
        ids = list(self._waiting)
        try:
            rows = await self._queries.rows_of("no_longer_live", ids=ids)
        except ConnectorException:
            return
        self._tell(*(job_id for (job_id,) in rows))

    def _hear(self, payload: str) -> None:
        """Anybody can notify us: what is no list of ids stands for nothing."""
        self._tell(*(int(word) for word in payload.split() if _is_id(word)))

    def _tell_all(self) -> None:
        self._tell(*self._waiting)

    def _tell(self, *ids: int) -> None:
        for job_id in ids:
            for told in self._waiting.get(job_id, ()):
                told.set()


def _is_id(word: str) -> bool:
    return word.isdecimal() and len(word) < 20
