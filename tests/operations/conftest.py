"""What the tests of the desk share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forthwith.operations import Desk
from tests.store.conftest import make_worker, other_connection, worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import forthwith

__all__ = ["make_worker", "other_connection", "worker"]  # fixtures of the tests of the SQL


@pytest.fixture
async def desk(app: forthwith.App) -> AsyncIterator[Desk]:
    """A desk at the test's database."""
    async with Desk(app) as desk:
        yield desk
