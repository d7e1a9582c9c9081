"""Serves a dashboard by itself, until SIGINT or SIGTERM."""

from __future__ import annotations

import logging
import signal
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from forthwith.errors import ConnectorException, ForthwithError, InvalidArgument
from forthwith.web.hosts import is_loopback

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from forthwith.app import App
    from forthwith.web.asgi import Dashboard

logger = logging.getLogger(__name__)

GRACE_S = 5
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a dashboard listens, and what stands before it. Raises `InvalidArgument`."""

    host: str
    port: int
    root_path: str = ""
    trusted_proxies: str | None = None
    """The addresses of proxies whose X-Forwarded-For and X-Forwarded-Proto count, with commas."""
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self) -> None:
        path = self.root_path
        if path and (not path.startswith("/") or path.endswith("/")):
            raise InvalidArgument(
                "root-path", f"must begin with a slash and not end with one: {path}"
            )
        if self.tls_key is not None and self.tls_certificate is None:
            raise InvalidArgument("tls-key", "goes with --tls-certificate")

    @property
    def is_in_the_clear(self) -> bool:
        """Whether passwords could be read on their way."""
        is_behind_tls = self.tls_certificate is not None or self.trusted_proxies is not None
        return not is_behind_tls and not is_loopback(self.host)

    def listen(self) -> socket.socket:
        """Return a socket that listens. Raises `OSError`."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        return socket.create_server((self.host, self.port), family=family)

    def url(self, listener: socket.socket) -> str:
        """Return the address for people."""
        scheme = "http" if self.tls_certificate is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{listener.getsockname()[1]}{self.root_path}/"


async def serve(
    app: App,
    dashboard: Dashboard,
    place: Place,
    listener: socket.socket,
    *,
    on_ready: Callable[[], None],
) -> None:
    """Serve until a signal comes, and then for `GRACE_S` seconds at most. Closes the app's connections.

    The database may be away, then and later: answers say so, until it is back.
    """
    server = uvicorn.Server(_config(dashboard, place))
    for number in _SIGNALS:  # uvicorn's own, from now on and when it has put back what was before
        signal.signal(number, server.handle_exit)
    try:
        if place.is_in_the_clear:
            logger.warning("Passwords travel unencrypted: see --tls-certificate and --trust-proxy")
        await _open(app)
        if not server.should_exit:
            on_ready()
            await server.serve(sockets=[listener])
    finally:
        await app.close_async()


async def _open(app: App) -> None:
    """Bring the embedded PostgreSQL and its schema up, if it is that; else find out whether it is there."""
    try:
        await app.open_async()
        await app.schema_manager.check_async()
    except (ConnectorException, ForthwithError) as error:
        logger.warning("The dashboard starts without its database: %s", error)


def _config(dashboard: Dashboard, place: Place) -> uvicorn.Config:
    return uvicorn.Config(
        dashboard,
        root_path=place.root_path,
        proxy_headers=place.trusted_proxies is not None,
        forwarded_allow_ips=place.trusted_proxies,
        ssl_certfile=place.tls_certificate,
        ssl_keyfile=place.tls_key,
        timeout_graceful_shutdown=GRACE_S,
        log_config=None,
        access_log=False,  # it would log queries
        server_header=False,
        ws="none",
        lifespan="on",
    )
