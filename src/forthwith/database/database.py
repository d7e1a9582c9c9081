"""The database of an app: where it is, and how to connect."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from forthwith import forks
from forthwith.database.embedded import EmbeddedServer, open_embedded
from forthwith.database.failures import translated
from forthwith.database.watched import ANSWER_LIMIT_S, LineConnection
from forthwith.errors import DatabaseUnavailable, EmbeddedUnavailable, InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

logger = logging.getLogger(__name__)

URL_VARIABLE = "FORTHWITH_DATABASE_URL"
START_AGAIN_S = 1.0

# A connection whose packets vanish is noticed within about 25 seconds, at rest and when sending: by the
# kernel, unless something in between acknowledges them. database/watched.py notices it even then.
CONNECTION_DEFAULTS: Mapping[str, str | int] = {
    "application_name": "forthwith",
    "connect_timeout": 8,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}

# And the same on the server's side, so that the locks of a machine that has vanished do not stay for
# hours. Set after connecting, for poolers refuse startup options; without effect on a unix socket. A
# server's system may lack one of them.
SERVER_DEFAULTS = """
    do $$
    declare
        setting pg_catalog.text[];
    begin
        foreach setting slice 1 in array array[
            ['tcp_keepalives_idle', '10s'],
            ['tcp_keepalives_interval', '5s'],
            ['tcp_keepalives_count', '3'],
            ['tcp_user_timeout', '25s'],
            ['client_connection_check_interval', '5s']]
        loop
            begin
                perform pg_catalog.set_config(setting[1], setting[2], false);
            exception when others then
                null;
            end;
        end loop;
    end $$;
"""


class Database:
    """A PostgreSQL: one's own by URL, or the embedded one, which is started when first needed."""

    def __init__(self, url: str | None = None) -> None:
        """Name the database; nothing connects yet.

        `url` is a `postgresql://` URL or libpq connection string. Without one FORTHWITH_DATABASE_URL
        counts, and without that it is the embedded server of FORTHWITH_HOME (`./.forthwith`).
        Raises `InvalidArgument` for a URL that libpq cannot read.
        """
        self._url = url if url is not None else os.environ.get(URL_VARIABLE) or None
        self._parameters = None if self._url is None else _parsed(self._url)
        self._server: EmbeddedServer | None = None
        self._tried_s = -START_AGAIN_S
        self._lock = threading.Lock()

    @property
    def is_embedded(self) -> bool:
        """Whether it is the embedded server."""
        return self._url is None

    def conninfo(self) -> str:
        """Return the connection string, with our defaults; start the embedded server if need be.

        Blocks for that start. Raises `EmbeddedUnavailable`, and `DatabaseUnavailable` when it has died
        and does not start again.
        """
        if self._parameters is not None:
            return make_conninfo("", **{**CONNECTION_DEFAULTS, **self._parameters})
        with self._lock:
            if self._server is None:
                self._server = open_embedded()
            elif self._server.pid() is None:
                self._start_again(self._server)  # it died under its users
            parameters = conninfo_to_dict(self._server.url)
        return make_conninfo("", **{**CONNECTION_DEFAULTS, **parameters})

    def _start_again(self, server: EmbeddedServer) -> None:
        """Try it once a second: whoever is told that it does not start will ask again."""
        since_s = time.monotonic() - self._tried_s
        if since_s < START_AGAIN_S:
            raise DatabaseUnavailable(f"The embedded PostgreSQL of {server.home} has died")
        try:
            server.start()
        except EmbeddedUnavailable as error:
            self._tried_s = time.monotonic()
            logger.warning("The embedded PostgreSQL has died and does not start again: %s", error)
            raise DatabaseUnavailable(
                f"The embedded PostgreSQL of {server.home} has died and does not start again"
            ) from error

    async def conninfo_async(self) -> str:
        """Do the same without blocking the event loop."""
        if self._parameters is not None:
            return self.conninfo()
        # Not in a thread of the loop's pool: tasks that never end may have taken them all.
        found: Future[str] = Future()
        threading.Thread(target=_fulfil, args=(found, self.conninfo), daemon=True).start()
        return await asyncio.wrap_future(found)

    async def connect(self, *, answer_limit_s: float = ANSWER_LIMIT_S) -> LineConnection:
        """Open a connection in autocommit mode, which hangs up when an answer takes longer than that.

        Raises `DatabaseUnavailable`.
        """
        conninfo = await self.conninfo_async()
        with translated():
            connection = await LineConnection.connect(conninfo, autocommit=True)
        connection.silence_s = answer_limit_s
        forks.close_in_child(connection)
        return connection

    def release(self) -> None:
        """Give up this object's share of the embedded server."""
        with self._lock:
            if self._server is not None:
                self._server.close()
                self._server = None


def _fulfil(future: Future[str], call: Callable[[], str]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:
        future.set_exception(error)


def _parsed(url: str) -> dict[str, Any]:
    try:
        return conninfo_to_dict(url)
    except psycopg.ProgrammingError as error:
        # libpq quotes the URL, or what it could not read of it: perhaps a password.
        said = re.sub(r'".*"', '"…"', " ".join(str(error).split()))
        raise InvalidArgument(
            "database",
            f"is no connection URL that libpq understands ({said}); "
            "write it as postgresql://user:password@host:5432/name",
        ) from None
