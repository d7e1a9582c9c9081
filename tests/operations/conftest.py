"""What the tests of the desk share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from forthwith.operations import Desk
from tests.store.virtual_worker import VirtualWorker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import forthwith


@pytest.fixture
async def desk(app: forthwith.App) -> AsyncIterator[Desk]:
    """A desk at the test's database."""
    async with Desk(app) as desk:
        yield desk


@pytest.fixture
async def make_worker(
    database_url: str, connection: psycopg.AsyncConnection[Any]
) -> AsyncIterator[Callable[..., Awaitable[VirtualWorker]]]:
    """Make workers without an engine: `await make_worker(lease_s=5)`."""
    workers: list[VirtualWorker] = []

    async def make(**options: Any) -> VirtualWorker:
        worker = VirtualWorker(database_url, connection)
        workers.append(worker)
        return await worker.register(**options)

    yield make
    for worker in workers:
        await worker.store.close()


@pytest.fixture
async def worker(make_worker: Callable[..., Awaitable[VirtualWorker]]) -> VirtualWorker:
    """A worker without an engine."""
    return await make_worker()


@pytest.fixture
async def other_connection(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A second connection to the test's database."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        yield connection
