"""Remembers that the database is away, so that not every question waits until it gives up."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from forthwith.errors import DatabaseUnavailable
from forthwith.web.paths import is_public, is_stream

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from forthwith.database.database import Database

PROBE_S = 2.0
PROBE_EVERY_S = 0.5


class Outage:
    """Once it was noticed, each question first finds out whether the database can be reached again.

    A pool gives those who ask ten seconds, in which a database may come back; a person at a page has given
    up by then.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._is_on = False
        self._probed_s = 0.0
        self._probing = asyncio.Lock()

    def noticed(self) -> None:
        """Note that the database could not be reached."""
        self._is_on = True

    async def check(self) -> None:
        """Return if nothing is known of an outage, or it is over. Raises `DatabaseUnavailable`."""
        if not self._is_on:
            return
        async with self._probing:
            if self._is_on and time.monotonic() - self._probed_s < PROBE_EVERY_S:
                raise DatabaseUnavailable
            if self._is_on:
                self._probed_s = time.monotonic()
                await self._probe()
                self._is_on = False

    async def _probe(self) -> None:
        try:
            async with asyncio.timeout(PROBE_S):
                connection = await self._database.connect(answer_limit_s=PROBE_S)
                await connection.close()
        except TimeoutError:
            raise DatabaseUnavailable from None


class OutageCheck:
    """Answers at once while the database is away. Streams tell of it themselves."""

    def __init__(self, app: ASGIApp, outage: Outage) -> None:
        self._app = app
        self._outage = outage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request. Raises `DatabaseUnavailable`."""
        if not is_public(scope) and not is_stream(scope):
            await self._outage.check()
        await self._app(scope, receive, send)
