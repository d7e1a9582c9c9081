"""The PostgreSQL server that a benchmark runs on, and a fresh database for each run."""

from __future__ import annotations

import contextlib
import itertools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from forthwith.database.embedded import EmbeddedServer

HOME = Path(__file__).parent.parent / ".forthwith" / "bench"
SETTINGS = (
    "server_version",
    "fsync",
    "synchronous_commit",
    "full_page_writes",
    "wal_sync_method",
    "shared_buffers",
    "max_wal_size",
    "max_connections",
    "autovacuum",
    "jit",
)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that lets us create databases."""

    url: str
    kind: str
    # Stops it as in a crash, and starts it again; None if it is not ours.
    restart: Callable[[], None] | None = None

    @contextlib.contextmanager
    def database(self) -> Iterator[str]:
        """The URL of a new database made from template0, dropped afterwards."""
        name = f"forthwith_bench_{os.getpid()}_{next(_numbers)}"
        with self.connect() as connection:
            connection.execute(_statement("create database {} template template0", name))
        try:
            yield urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        finally:
            with self.connect() as connection:
                connection.execute(_statement("drop database if exists {} with (force)", name))

    @contextlib.contextmanager
    def kept(self, name: str) -> Iterator[tuple[str, bool]]:
        """The URL of a database that stays, and whether it has just been made."""
        with self.connect() as connection:
            found = connection.execute("select from pg_database where datname = %s", [name])
            is_new = found.fetchone() is None
            if is_new:
                connection.execute(_statement("create database {} template template0", name))
        yield urlunsplit(urlsplit(self.url)._replace(path=f"/{name}")), is_new

    def connect(self) -> psycopg.Connection:
        """A connection to the server's own database, in autocommit mode."""
        return psycopg.connect(self.url, autocommit=True)

    def settings(self) -> dict[str, str]:
        """What decides how durable, and how fast, the server is."""
        query = "select name, current_setting(name) from pg_settings where name = any(%s)"
        with self.connect() as connection:
            found: dict[str, str] = dict(connection.execute(query, [list(SETTINGS)]).fetchall())
        return {name: found[name] for name in SETTINGS if name in found}


_numbers = itertools.count(1)


def _statement(text: str, name: str) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier(name))


@contextlib.contextmanager
def open_server(url: str | None) -> Iterator[Server]:
    """The server at `url`, or else forthwith's embedded PostgreSQL in a home of its own."""
    if url:
        yield Server(url, "yours")
        return
    from forthwith.database.embedded import open_embedded

    embedded = open_embedded(HOME)
    try:
        yield Server(embedded.url, "embedded", lambda: _restart(embedded))
    finally:
        embedded.close()


def _restart(embedded: EmbeddedServer) -> None:
    embedded.stop("immediate")
    embedded.start()


def prepare(database: str) -> None:
    """Let a loaded database settle, so that the clock sees the peer and not what came before."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("analyze")
        connection.execute("checkpoint")


def count(database: str, query: str) -> int:
    """The number that `query` counts."""
    with psycopg.connect(database, autocommit=True) as connection:
        (found,) = connection.execute(query.encode()).fetchall()
        return int(found[0])
