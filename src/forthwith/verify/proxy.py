"""A proxy in front of PostgreSQL that does to connections what networks do."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from forthwith.errors import InvalidArgument
from forthwith.verify.proxy_link import Link

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

R = TypeVar("R")

LOCALHOST = "127.0.0.1"
BIND_TRIES = 50


@dataclass(slots=True)
class Counters:
    """What the faults have really done so far: one that hit nothing has shown nothing."""

    connections: int = 0
    """Connections that were accepted."""
    bytes_swallowed: int = 0
    connections_cut: int = 0
    replies_lost: int = 0


@dataclass(slots=True)
class Loss:
    """An answer that is to be lost: to the next statements that contain a text."""

    containing: str
    times: int
    only: str | None


@dataclass(slots=True)
class Faults:
    """The faults that go on. Used in the proxy's thread alone."""

    counters: Counters = field(default_factory=Counters)
    delay_s: float = 0.0
    silenced: set[str | None] = field(default_factory=set)
    """Clients whose packets vanish; None: everybody's."""
    losses: list[Loss] = field(default_factory=list)
    restored: asyncio.Event = field(default_factory=asyncio.Event)

    def silences(self, client: str) -> bool:
        """Whether this client's packets vanish now."""
        return bool(self.silenced) and (None in self.silenced or client in self.silenced)

    def takes_reply(self, client: str, sql: str) -> bool:
        """Whether the answer to this statement shall be lost. Each yes uses up one time."""
        for loss in self.losses:
            if loss.only in (None, client) and loss.containing.casefold() in sql.casefold():
                loss.times -= 1
                if not loss.times:
                    self.losses.remove(loss)
                return True
        return False


class Proxy:
    """A TCP proxy on this machine's loopback, in a thread of its own. Its methods are thread-safe.

        with Proxy("postgresql://localhost/mydb") as proxy:
            connection = psycopg.connect(proxy.conninfo)
            proxy.vanish()

    Where `only` is given, a fault strikes only clients with that application_name. Over TLS the proxy
    cannot read along: `is_blind`. Faults with a target are refused then.
    """

    def __init__(self, conninfo: str) -> None:
        """Find the server; the proxy starts with the block, or with `start`.

        Connects once, to see where the connection string leads. Raises `psycopg.OperationalError`.
        """
        with psycopg.connect(conninfo) as connection:
            info, self.is_blind = connection.info, bool(connection.pgconn.ssl_in_use)
            self._host, self._hostaddr, self._server_port = info.host, info.hostaddr, info.port
            self._password = info.password
        self._parameters = conninfo_to_dict(conninfo)
        self._faults = Faults()
        self._links: set[Link] = set()
        self._refuses = False
        self._door = _bound(0)
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._run()), name="forthwith-proxy", daemon=True
        )
        self.port: int = self._door.getsockname()[1]

    @property
    def conninfo(self) -> str:
        """The connection string through the proxy.

        The host's name stays, so that TLS certificates are checked as ever.
        """
        parameters: dict[str, Any] = {**self._parameters, "port": self.port}
        if self._host.startswith(("/", "@")):  # a unix socket, on which there is no encryption
            parameters.pop("hostaddr", None)
            parameters |= {"host": LOCALHOST, "sslmode": "disable", "gssencmode": "disable"}
        else:
            parameters |= {"host": self._host, "hostaddr": LOCALHOST}
        if self._password:  # a password file knows it by the port
            parameters["password"] = self._password
        return make_conninfo("", **parameters)

    @property
    def counters(self) -> Counters:
        """What the faults have done so far, a copy."""
        return replace(self._faults.counters)

    def connected(self, only: str | None = None) -> int:
        """Return how many connections go through it, or how many of one client."""
        self._check_target(only)
        return self._in_loop(lambda: len(self._whole_links(only)))

    # -- faults -------------------------------------------------------------------------------------

    @property
    def delay_s(self) -> float:
        """By how many seconds everything is late, each way; set it at any time."""
        return self._faults.delay_s

    @delay_s.setter
    def delay_s(self, delay_s: float) -> None:
        self._faults.delay_s = delay_s

    @property
    def refuse(self) -> bool:
        """Whether new connections are refused; set it at any time. Old ones stay."""
        return self._refuses

    @refuse.setter
    def refuse(self, refuse: bool) -> None:
        if refuse != self._refuses:
            self._refuses = refuse
            self._in_loop(self._close_door if refuse else self._open_door)

    def vanish(self, only: str | None = None) -> None:
        """Swallow all packets, both ways, until `restore`.

        Connections stay open, and nobody is told. New ones are accepted and never answered. Bytes
        that were swallowed are lost, so the connections that lost some stay dead for ever.
        """
        self._check_target(only)
        self._in_loop(self._vanish, only)

    def restore(self) -> None:
        """Let packets through again, on new connections and on those that lost nothing."""
        self._in_loop(self._restore)

    def cut(self, only: str | None = None) -> int:
        """Break the connections, by a reset in both directions. Returns how many."""
        self._check_target(only)
        return self._in_loop(self._cut, only)

    def lose_reply(self, *, containing: str, times: int = 1, only: str | None = None) -> None:
        """Lose the answer to the next `times` statements whose SQL contains this text, in any case.

        The server gets the statement and finishes it. Its answer is dropped, and the connection cut.
        """
        self._check_target(containing)
        self._in_loop(self._faults.losses.append, Loss(containing, times, only))

    # -- life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Accept connections from now on."""
        self._thread.start()
        self._started.wait()

    def stop(self) -> None:
        """Close all connections and end the thread."""
        if self._thread.is_alive():
            self._in_loop(self._stop.set)
            self._thread.join()
        self._door.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _check_target(self, target: str | None) -> None:
        if target is not None and self.is_blind:
            raise InvalidArgument(
                "only",
                "needs to read along, and this server's connections are encrypted; add "
                "sslmode=disable to the URL if the server allows that",
            )

    def _in_loop(self, call: Callable[..., R], *arguments: object) -> R:
        async def do() -> R:
            return call(*arguments)

        assert self._loop is not None, "the proxy has not started"
        return asyncio.run_coroutine_threadsafe(do(), self._loop).result()

    # -- in the thread ------------------------------------------------------------------------------

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._faults.restored.set()
        self._server = await self._listening()
        self._started.set()
        await self._stop.wait()
        self._server.close()
        for link in list(self._links):
            link.close()
        await asyncio.gather(*(link.ended.wait() for link in self._links))

    async def _listening(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, sock=self._door)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._faults.counters.connections += 1
        link = Link(self._faults, reader, writer, self._connect)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._host.startswith("/"):
            return await asyncio.open_unix_connection(f"{self._host}/.s.PGSQL.{self._server_port}")
        return await asyncio.open_connection(self._hostaddr or self._host, self._server_port)

    def _vanish(self, only: str | None) -> None:
        self._faults.silenced.add(only)
        self._faults.restored.clear()

    def _restore(self) -> None:
        self._faults.silenced.clear()
        self._faults.restored.set()

    def _cut(self, only: str | None) -> int:
        return sum(link.cut() for link in self._whole_links(only))

    def _whole_links(self, only: str | None) -> list[Link]:
        links = (link for link in self._links if only in (None, link.client))
        return [link for link in links if not link.is_cut]

    def _close_door(self) -> None:
        # A socket that is bound and does not listen refuses, and keeps the port for us.
        assert self._server is not None
        self._server.close()
        self._door = _bound(self.port)

    def _open_door(self) -> None:
        self._door.listen()
        opening = asyncio.ensure_future(self._listening())
        opening.add_done_callback(lambda done: setattr(self, "_server", done.result()))


def _bound(port: int) -> socket.socket:
    for _ in range(BIND_TRIES):
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            door.bind((LOCALHOST, port))
            return door
        door.close()
    raise OSError(f"port {port} was taken")
