"""A small HTTP server for metrics and health checks, in a thread that a busy event loop cannot block."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import TYPE_CHECKING, NamedTuple, Self

from forthwith.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

TICK_S = 1.0
CLIENT_PATIENCE_S = 5.0
PLAIN = "text/plain; charset=utf-8"


class Answer(NamedTuple):
    """What a request gets."""

    status: HTTPStatus
    body: bytes
    content_type: str = PLAIN


class Server:
    """Answers GET requests until closed. A context manager.

    `routes` has, for each path, a function that takes the Accept header. `tick` is called in the
    server's thread about every second.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        routes: Mapping[str, Callable[[str], Answer]],
        tick: Callable[[], None],
    ) -> None:
        """Take the port. Raises `InvalidArgument` if it cannot be had."""
        self._tick = tick
        self._http = _listening(host, port, routes)
        self._wake, self._woken = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, name="forthwith-metrics", daemon=True)

    @property
    def url(self) -> str:
        """Where it answers."""
        host, port = self._http.server_address[:2]
        name = host.decode() if isinstance(host, bytes) else str(host)
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.close()
        self._thread.join(TICK_S)

    def _serve(self) -> None:
        with self._http, self._woken, selectors.DefaultSelector() as selector:
            selector.register(self._http, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select(TICK_S)}
                if self._woken in ready:
                    return
                self._tick()
                if ready:
                    self._http.handle_request()


class _Http(ThreadingTCPServer):  # http.server's own asks the DNS for this machine's name
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    timeout = 0.0
    routes: Mapping[str, Callable[[str], Answer]]


class _V6(_Http):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    timeout = CLIENT_PATIENCE_S
    protocol_version = "HTTP/1.1"
    server: _Http

    def version_string(self) -> str:
        return "forthwith"

    def do_GET(self) -> None:
        route = self.server.routes.get(self.path.partition("?")[0])
        if route is None:
            paths = ", ".join(self.server.routes)
            answer = Answer(HTTPStatus.NOT_FOUND, f"Here are {paths}\n".encode())
        else:
            answer = route(self.headers.get("Accept") or "")
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 -- as there
        logger.debug(format, *arguments)


def _listening(host: str, port: int, routes: Mapping[str, Callable[[str], Answer]]) -> _Http:
    kind = _V6 if ":" in host else _Http
    try:
        http = kind((host, port), _Handler)
    except OSError as error:
        raise InvalidArgument(
            "metrics_port",
            f"cannot be had: {host}:{port}: {error.strerror or error}. Choose another port or "
            "metrics_host, or stop what has it",
        ) from error
    http.routes = routes
    return http
