"""Fixtures for the tests of faults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.effects import Effects

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg


@pytest.fixture
async def effects(connection: psycopg.AsyncConnection[Any]) -> Effects:
    """What tasks leave behind."""
    await connection.execute("create table flag (name text primary key)")
    return await Effects(connection).create()


@pytest.fixture
def set_flag(connection: psycopg.AsyncConnection[Any]) -> Callable[..., Awaitable[None]]:
    """Let tasks that wait for a flag go on: `await set_flag("key 1")`."""

    async def set_flag(*names: str) -> None:
        for name in names:
            await connection.execute("insert into flag values (%s)", [name])

    return set_flag
