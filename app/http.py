"""The one HTTP client that a worker's tasks share."""

from __future__ import annotations

import asyncio

import httpx

from app.settings import settings

# A client belongs to the event loop that its connections live on. A process may run several loops
# one after the other (a test suite does), never two workers at once.
_clients: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}


def client() -> httpx.AsyncClient:
    """Return this event loop's client; the first call makes it.

    Connections are kept open and shared. How many there are is bounded by the worker's concurrency,
    so the client needs no bound of its own.
    """
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = httpx.AsyncClient(
            timeout=settings.http_timeout_s,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )
    return _clients[loop]


async def close() -> None:
    """Close this event loop's client, if there is one."""
    if existing := _clients.pop(asyncio.get_running_loop(), None):
        await existing.aclose()
