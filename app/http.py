"""The HTTP clients that a worker's tasks share."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import httpx

from app.settings import settings

if TYPE_CHECKING:
    import ssl

logging.getLogger("httpx").setLevel(logging.WARNING)  # else it logs each request

# A client looks through all of its connections at every request, so one client with a hundred
# connections spends its time on that. A few with a few connections each are three times as fast.
CLIENTS = 16

# Clients belong to the event loop that their connections live on. A process may run several loops
# one after the other (a test suite does).
_clients: dict[asyncio.AbstractEventLoop, list[httpx.AsyncClient]] = {}


def client(url: str) -> httpx.AsyncClient:
    """Return the client for `url`, always the same one; an event loop's first call makes them."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        tls = httpx.create_ssl_context()  # costs megabytes and milliseconds: one for all
        _clients[loop] = [_new_client(tls) for _ in range(CLIENTS)]
    return _clients[loop][hash(url) % CLIENTS]


def _new_client(tls: ssl.SSLContext) -> httpx.AsyncClient:
    # How many connections there are is bounded by the worker's concurrency.
    unbounded = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    return httpx.AsyncClient(timeout=settings.http_timeout_s, verify=tls, limits=unbounded)


async def close() -> None:
    """Close this event loop's clients, if there are any."""
    for each in _clients.pop(asyncio.get_running_loop(), []):
        await each.aclose()
