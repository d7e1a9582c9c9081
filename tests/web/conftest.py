"""A dashboard on the test's database, asked in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

import forthwith
from forthwith.web import dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from forthwith.web.asgi import Dashboard

# Of "correct horse": a cheap one, and always the same, for it is in the names of tests.
HASH = "scrypt.1.8.1.MDEyMzQ1Njc4OWFiY2RlZg.i72ACQO5TM8Kytco55dBeRZj8nZEvu8KQilylloNY34"
HERE = {"Sec-Fetch-Site": "same-origin"}


def client_of(asgi: Any, **options: Any) -> httpx.AsyncClient:
    """Return a client of an ASGI application, as a page of its own would ask."""
    transport = httpx.ASGITransport(app=asgi, raise_app_exceptions=True)
    headers = {**HERE, **options.pop("headers", {})}
    options.setdefault("base_url", "http://localhost:8090")
    return httpx.AsyncClient(transport=transport, headers=headers, **options)


@pytest.fixture
async def app(database_url: str) -> AsyncIterator[forthwith.App]:
    """An app on the test's database, without tasks; it opens by itself if it is used."""
    app = forthwith.App(database_url)
    yield app
    await app.close_async()


@pytest.fixture
async def make_dashboard(app: forthwith.App) -> AsyncIterator[Callable[..., Dashboard]]:
    """Make dashboards of the test's app, which are closed afterwards: `make_dashboard(**settings)`."""
    made: list[Dashboard] = []

    def make(**settings: Any) -> Dashboard:
        made.append(dashboard(app, **settings))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


@pytest.fixture
async def client(make_dashboard: Callable[..., Dashboard]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a dashboard that is open to operators."""
    async with client_of(make_dashboard(open_to_all="operator")) as client:
        yield client
