"""Databases for tests: a template with the schema, and a clone of it for each test."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from importlib import resources
from itertools import count
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from forthwith.store import migrate as store_migrate
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_PREFIX = "test_clone_"
TEMPLATE_PREFIX = "test_template_"
DAY = "select to_char(now() at time zone 'utc', 'YYYYMMDD')"
LEFT_OF_THE_DAY_S = 60.0
LEFT_OF_THE_DAY = """
    select extract(epoch from date_trunc('day', t) + '1 day' - t)::float8
    from (select clock_timestamp() at time zone 'utc') as now (t)
"""
#: The key of the advisory lock that lets one process at a time look for and build the template.
TEMPLATE_LOCK = 0x7E57


class Databases:
    """Makes and drops this process's test databases, over one connection to the server.

    `database_url` gives the URL of the server's database of a given name; `maintenance_url` is that
    of a database that exists.
    """

    def __init__(self, maintenance_url: str, database_url: Callable[[str], str]) -> None:
        self._database_url = database_url
        self._connection = psycopg.connect(maintenance_url, autocommit=True)
        self._numbers = count(1)
        self._template = ""

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()

    def create_clone(self) -> tuple[str, str]:
        """Create a database with the schema; return its name and its URL."""
        if not self._template.endswith(self._day()):
            self._template = self._ensure_template()
        return self._create(template=self._template)

    def create_empty(self) -> tuple[str, str]:
        """Create a database without the schema; return its name and its URL."""
        return self._create(template="template1")

    def drop(self, name: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self._run("drop database if exists {} with (force)", name)

    def backends(self, url: str) -> int:
        """Return how many connections there are to the database of `url`."""
        query = "select count(*) from pg_stat_activity where datname = %s"
        [(backends,)] = self._connection.execute(query, [_name(url)]).fetchall()
        return int(backends)

    def transactions(self, url: str) -> int:
        """Wait until nobody is connected to the database; return how many transactions it has had.

        Backends report what they counted a while later, and at the latest when they leave.
        """
        wait_until_sync(lambda: self.backends(url) == 0)
        query = "select xact_commit + xact_rollback from pg_stat_database where datname = %s"
        [(transactions,)] = self._connection.execute(query, [_name(url)]).fetchall()
        return int(transactions)

    def wait_out_midnight(self) -> None:
        """Return at once, or after the midnight (UTC) that comes within a minute."""
        [(left_s,)] = self._connection.execute(LEFT_OF_THE_DAY).fetchall()
        if left_s < LEFT_OF_THE_DAY_S:
            time.sleep(left_s + 0.1)

    def drop_leftovers(self) -> None:
        """Drop the clones of test processes that were killed before they could do it themselves."""
        for (name,) in self._connection.execute(
            "select datname from pg_database where starts_with(datname, %s)", [CLONE_PREFIX]
        ):
            if not _is_alive(int(name.removeprefix(CLONE_PREFIX).split("_")[0])):
                self.drop(name)

    def _create(self, template: str) -> tuple[str, str]:
        name = f"{CLONE_PREFIX}{os.getpid()}_{next(self._numbers)}"
        self._run("create database {} template {}", name, template)
        return name, self._database_url(name)

    def _ensure_template(self) -> str:
        """Return the name of the template for these migrations on this day, built unless it is there.

        Of this day, because it has partitions by the day. It is built under another name: a build
        that was interrupted is never taken for a template.
        """
        self._connection.execute("select pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        try:
            name = f"{TEMPLATE_PREFIX}{migrations_digest()}_{self._day()}"
            if not self._exists(name):
                unfinished = f"{name}_unfinished"
                self.drop(unfinished)
                self._run("create database {}", unfinished)
                migrate(self._database_url(unfinished))
                self._run("alter database {} rename to {}", unfinished, name)
        finally:
            self._connection.execute("select pg_advisory_unlock(%s)", [TEMPLATE_LOCK])
        return name

    def _day(self) -> str:
        [(day,)] = self._connection.execute(DAY).fetchall()
        return str(day)

    def _exists(self, name: str) -> bool:
        query = "select from pg_database where datname = %s"
        return self._connection.execute(query, [name]).rowcount == 1

    def _run(self, statement: str, *names: str) -> None:
        query = sql.SQL(statement).format(*map(sql.Identifier, names))
        self._connection.execute(query)


def migrate(url: str) -> None:
    """Install the schema."""

    async def connect_and_migrate() -> None:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await store_migrate.migrate(connection)

    asyncio.run(connect_and_migrate())


def migrations_digest() -> str:
    """Return what changes when a migration changes."""
    digest = hashlib.sha256()
    directory = resources.files("forthwith.store").joinpath("migrations")
    for migration in sorted(directory.iterdir(), key=lambda entry: entry.name):
        if migration.name.endswith(".sql"):
            digest.update(migration.read_bytes())
    return digest.hexdigest()[:12]


def replace_database(url: str, name: str) -> str:
    """Return `url` with the database `name` in place of its own."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
