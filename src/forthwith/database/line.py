"""One connection for one purpose, made anew when it breaks."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg

from forthwith.database.failures import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from forthwith.database.database import Database


class Line:
    """A dedicated connection. One user at a time; the next one waits."""

    def __init__(self, database: Database, *, settings: str = "") -> None:
        self._database = database
        self._settings = settings
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._connected_s = 0.0
        self._lock = asyncio.Lock()

    @property
    def age_s(self) -> float:
        """For how long the connection has stood; 0 if there is none."""
        return 0.0 if self._connection is None else time.monotonic() - self._connected_s

    @asynccontextmanager
    async def use(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """Use the connection. After any error it is dropped: its state is not known for certain."""
        async with self._lock:
            try:
                with translated():
                    yield await self._connected()
            except BaseException:
                await self._drop()
                raise

    async def close(self) -> None:
        """Close the connection; the next use makes a new one."""
        await self._drop()

    async def _connected(self) -> psycopg.AsyncConnection[Any]:
        if self._connection is None:
            connection = await self._database.connect()
            try:
                if self._settings:
                    await connection.execute(self._settings)
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
            self._connected_s = time.monotonic()
        return self._connection

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(psycopg.Error, OSError):
                await connection.close()
