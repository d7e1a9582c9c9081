"""One connection for one purpose, made anew when it breaks."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import psycopg

from forthwith.database.database import SERVER_DEFAULTS
from forthwith.database.failures import translated
from forthwith.database.watched import ANSWER_LIMIT_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forthwith.database.database import Database
    from forthwith.database.watched import LineConnection


class Line:
    """A dedicated connection. One user at a time; the next one waits.

    An answer that takes longer than `answer_limit_s` seconds counts as none, and the connection as
    lost. Connecting may take `connect_limit_s`, and what the connection string says.
    """

    def __init__(
        self,
        database: Database,
        *,
        settings: str = "",
        answer_limit_s: float = ANSWER_LIMIT_S,
        connect_limit_s: float | None = None,
    ) -> None:
        self._database = database
        self._settings = SERVER_DEFAULTS + settings
        self._answer_limit_s = answer_limit_s
        self._connect_limit_s = connect_limit_s
        self._connection: LineConnection | None = None
        self._connected_s = 0.0
        self._lock = asyncio.Lock()
        self._connects = 0

    @property
    def reconnects(self) -> int:
        """How often the connection was made anew."""
        return max(self._connects - 1, 0)

    @property
    def age_s(self) -> float:
        """For how long the connection has stood; 0 if there is none."""
        return 0.0 if self._connection is None else time.monotonic() - self._connected_s

    @asynccontextmanager
    async def use(self) -> AsyncIterator[LineConnection]:
        """Use the connection. After any error it is dropped: its state is not known for certain."""
        async with self._lock:
            try:
                with translated():
                    yield await self._connected()
            except BaseException:
                await self._drop()
                raise

    async def disturbed(self) -> None:
        """Wait until the server says something unasked, or the connection is lost: use it, then.

        Without a connection there is nothing to wait for: that ends only by being cancelled.
        """
        said = asyncio.Event()
        async with self._lock:
            if self._connection is None or self._connection.closed:
                await asyncio.Event().wait()
                return
            loop, socket = asyncio.get_running_loop(), self._connection.fileno()
            loop.add_reader(socket, said.set)
            try:
                await said.wait()
            finally:
                loop.remove_reader(socket)

    async def close(self) -> None:
        """Close the connection, also under whoever uses it; the next use makes a new one."""
        if self._lock.locked() and self._connection is not None:
            self._connection.hang_up()
        else:
            await self._drop()

    async def _connected(self) -> LineConnection:
        if self._connection is None:
            async with asyncio.timeout(self._connect_limit_s):
                self._connection = await self._connect()
            self._connected_s = time.monotonic()
            self._connects += 1
        return self._connection

    async def _connect(self) -> LineConnection:
        connection = await self._database.connect(answer_limit_s=self._answer_limit_s)
        try:
            await connection.execute(self._settings)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()
