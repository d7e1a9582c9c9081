"""What the Python peers on PostgreSQL share: many callers at once, and a look at what is left."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

# What a caller's own transaction does beside the defer.
OWN_TABLE = "create table if not exists callers_own (number bigint not null)"
OWN_INSERT = "insert into callers_own (number) values ({})"


async def callers(
    numbers: Sequence[int], count: int, defer: Callable[[int], Awaitable[object]]
) -> None:
    """Call `defer` with each number, from `count` coroutines at once, each one after another."""

    async def share(own: Sequence[int]) -> None:
        for number in own:
            await defer(number)

    await asyncio.gather(*(share(numbers[caller::count]) for caller in range(count)))


@contextlib.asynccontextmanager
async def looking(database: str, query: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Open a connection (psycopg) that counts what `query` counts."""
    import psycopg

    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:

        async def look() -> int:
            cursor = await connection.execute(query.encode())
            row = await cursor.fetchone()
            assert row is not None
            return int(row[0])

        yield look
