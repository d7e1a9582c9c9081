"""Fixtures for the tests of faults."""

from __future__ import annotations

import secrets
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from forthwith.database.embedded import EmbeddedServer, open_embedded
from forthwith.verify.lab import Lab, LabSettings, open_lab
from tests.conftest import HAS_FAILED
from tests.support.effects import Effects
from tests.support.forking import fork_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path


@pytest.fixture
async def effects(connection: psycopg.AsyncConnection[Any]) -> Effects:
    """What tasks leave behind."""
    await connection.execute("create table flag (name text primary key)")
    return await Effects(connection).create()


@pytest.fixture
def set_flag(connection: psycopg.AsyncConnection[Any]) -> Callable[..., Awaitable[None]]:
    """Let tasks that wait for a flag go on: `await set_flag("key 1")`."""

    async def set_flag(*names: str) -> None:
        for name in names:
            await connection.execute("insert into flag values (%s)", [name])

    return set_flag


@pytest.fixture(scope="module")
def hurt_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """A PostgreSQL that the tests of a module hurt one after the other: `make_lab(server=hurt_server)`."""
    server = open_embedded(tmp_path_factory.mktemp("hurt"), linger_s=0.1)
    yield server
    server.remove()


@pytest.fixture
async def make_lab(
    database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> AsyncIterator[Callable[..., Awaitable[Lab]]]:
    """Open a lab: `lab = await make_lab(lease_s=1.0, proxy=True, server="own")`.

    `server="own"` gives it an embedded PostgreSQL of its own, `lab.server`, to be stopped and
    killed, and `server=hurt_server` a new database on that one; otherwise it works on the test's
    database. `proxy=True` puts a proxy before it. The rest are LabSettings. After a failed test the
    workers' logs are printed.
    """
    async with AsyncExitStack() as stack:

        async def make(
            *, proxy: bool = False, server: str | EmbeddedServer = "shared", **settings: Any
        ) -> Lab:
            own, url = None, database_url
            if isinstance(server, EmbeddedServer):
                own, url = server, _new_database(server)
            elif server == "own":
                own = open_embedded(tmp_path / "server", linger_s=0.1)
                stack.callback(own.remove)
                url = own.url
            between = None
            if proxy:
                from forthwith.verify.proxy import Proxy

                between = stack.enter_context(Proxy(url))
            lab = await stack.enter_async_context(
                open_lab(
                    url,
                    tmp_path / "lab",
                    settings=LabSettings(**{"launch": fork_worker, **settings}),
                    proxy=between,
                    server=own,
                )
            )
            stack.callback(_print_logs, lab, request)
            return lab

        yield make


def _new_database(server: EmbeddedServer) -> str:
    name = f"lab_{secrets.token_hex(4)}"
    server.start()  # the test before may have left it dead
    with psycopg.connect(server.url, autocommit=True) as connection:
        connection.execute(f"create database {name}")
    return server.database_url(name)


def _print_logs(lab: Lab, request: pytest.FixtureRequest) -> None:
    if request.node.stash.get(HAS_FAILED, False):
        for worker in lab.workers:
            print(f"--- {worker.name}, exit status {worker.exit_status}\n{worker.output()}")
