"""A database of the demo's own, so that its counts are its own too."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

import forthwith
from app.demo.children import DemoError
from forthwith.database.embedded import open_embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

HOME = Path(".forthwith/demo")
PREFIX = "forthwith_demo_"


def home() -> Path:
    """Return the directory for the demo's server and logs."""
    return Path(os.environ.get("FORTHWITH_HOME") or HOME)


@contextmanager
def scratch_database() -> Iterator[str]:
    """Make a new, empty database, give its URL, and drop it in the end.

    It is made on the server of FORTHWITH_DATABASE_URL, or else on the embedded PostgreSQL, which
    runs for as long as this block does.
    """
    with _server() as server_url:
        name = f"{PREFIX}{os.getpid()}"
        _execute(server_url, "drop database if exists {} with (force)", name)
        _execute(server_url, "create database {}", name)
        try:
            yield _with_database(server_url, name)
        finally:
            with suppress(DemoError):  # the server may be what broke
                _execute(server_url, "drop database if exists {} with (force)", name)


async def install_schema(database_url: str) -> None:
    """Create forthwith's tables."""
    app = forthwith.App(database_url)
    async with app.open_async():
        await app.migrate_async()


@contextmanager
def _server() -> Iterator[str]:
    if url := os.environ.get("FORTHWITH_DATABASE_URL"):
        yield url
        return
    server = open_embedded(home())
    try:
        yield server.url
    finally:
        server.close()


def _with_database(server_url: str, name: str) -> str:
    if "://" in server_url:
        parts = urlsplit(server_url)
        query = f"?{parts.query}" if parts.query else ""
        return f"{parts.scheme}://{parts.netloc}/{name}{query}"
    return make_conninfo(server_url, dbname=name)


def _execute(server_url: str, statement: str, name: str) -> None:
    composed = sql.SQL(statement).format(sql.Identifier(name))
    try:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(composed)
    except psycopg.Error as error:
        host = conninfo_to_dict(server_url).get("host", "the default host")
        raise DemoError(f"cannot prepare the database {name} on {host}: {error}") from error
