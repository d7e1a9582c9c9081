"""Listens on a channel, on a line of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith.database.line import Line

LISTEN_PROBE_S = 10.0
PROBE_LIMIT_S = 10.0


async def listen(
    line: Line, channel: str, hear: Callable[[str], None], listening: Callable[[], None]
) -> None:
    """Call `listening` once notifications arrive, then `hear` with each payload, until it breaks.

    Raises `DatabaseUnavailable`. The line should have an answer limit of `PROBE_LIMIT_S`.
    """
    async with line.use() as connection:
        await connection.execute(sql.SQL("listen {}").format(sql.Identifier(channel)))
        listening()
        while True:
            is_silent = True
            async for notification in connection.notifies(timeout=LISTEN_PROBE_S):
                is_silent = False
                hear(notification.payload)
            if is_silent:  # else the answer would come behind a flood, all of which psycopg
                await connection.execute("select 1")  # would hand over in one go
