"""The primary dies, and its standby is promoted: a URL of both hosts is all that workers need."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from forthwith.database import embedded_binaries, embedded_place
from forthwith.database.embedded import open_embedded
from forthwith.verify.lab import open_lab
from tests.durability.steady_load import (
    assert_undisturbed,
    claim_times_s,
    defer_again,
    steady_load,
)
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from forthwith.database.embedded import EmbeddedServer

    WaitUntil = Callable[..., Awaitable[Any]]

RETURN_MAX_S = 10.0


@pytest.fixture
def primary(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A PostgreSQL of the test's own."""
    server = open_embedded(tmp_path / "primary", linger_s=0.1)
    yield server
    server.remove()


@pytest.fixture
def standby(primary: EmbeddedServer) -> Iterator[str]:
    """The socket directory of a synchronous standby of it, which follows."""
    with following(primary) as socket:
        with psycopg.connect(primary.url, autocommit=True) as connection:
            connection.execute("alter system set synchronous_standby_names = '*'")
            connection.execute("select pg_reload_conf()")
        yield socket


async def test_workers_follow_a_failover_and_lose_nothing(
    primary: EmbeddedServer,
    standby: str,
    tmp_path: Path,
    wait_until: WaitUntil,
    record_figure: Callable[[str, float, str], None],
) -> None:
    hosts = f"{conninfo_to_dict(primary.url)['host']},{standby}"
    url = f"host={hosts} port=5432,5432 user=forthwith dbname=forthwith"
    async with open_lab(f"{url} target_session_attrs=read-write", tmp_path / "lab") as lab:
        workers = [lab.start_worker() for _ in range(2)]
        await lab.wait_ready()
        held = await lab.defer("gate", "held", priority=1)
        backlog = [{"key": f"backlog {number}", "run_s": 0.05} for number in range(400)]
        await lab.defer_batch("work", backlog, priority=-1)  # both are busy all the time
        async with steady_load(lab) as load:
            await wait_until(lambda: len(lab.starts()) > 50 and lab.starts(held))
            with lab.fault("failover", "database"):
                os.kill(primary.pid() or 0, signal.SIGKILL)
                lab.open_gate("held")
                await wait_until(lambda: lab.starts(held)[0].ended_s)
                await asyncio.to_thread(promote, standby)
            promoted_s = time.monotonic()
            await wait_until(lambda: load.last_accepted_s > promoted_s)
            deferred_s = load.last_accepted_s - promoted_s
            after = await defer_again(lab, "work", "after")
            await wait_until(lambda: lab.starts(after))
        verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)
    claims_s = [min(claim_times_s(verdict.history, worker, promoted_s)) for worker in workers]
    record_figure("failover: claims again, slowest worker", max(claims_s), "s")
    record_figure("failover: a defer is accepted", deferred_s, "s")
    assert max(claims_s) < RETURN_MAX_S


@contextmanager
def following(primary: EmbeddedServer) -> Iterator[str]:
    """Make a standby beside the primary's data, and run it; gives the directory of its socket."""
    account = embedded_place.choose_account(primary.home)
    programs = embedded_binaries.find_programs(account)
    options: dict[str, Any] = {
        "cwd": "/",
        "env": embedded_place.environment(),
        **account.process_options(),
    }
    base = primary.data.parent
    data, socket = base / "standby", Path(tempfile.mkdtemp(prefix="forthwith-", dir="/tmp"))
    data.mkdir(0o700)
    for directory in (data, socket):
        account.own(directory)
    backup = (programs / "pg_basebackup", "-d", primary.url, "-D", data, "-R", "-c", "fast")
    subprocess.run([str(part) for part in backup], check=True, **options)
    with (base / "standby.log").open("wb") as log:
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", str(data), "-k", str(socket)],
            stdout=log,
            stderr=log,
            **options,
        )
    try:
        wait_until_sync(lambda: is_followed(primary))
        yield str(socket)
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait()
        shutil.rmtree(socket)
        shutil.rmtree(data)


def is_followed(primary: EmbeddedServer) -> bool:
    """Whether a standby streams from it."""
    with psycopg.connect(primary.url) as connection:
        query = "select from pg_stat_replication where state = 'streaming'"
        return connection.execute(query).fetchone() is not None


def promote(standby: str) -> None:
    """Make the standby the primary; return once it is."""
    with psycopg.connect(f"host={standby} user=forthwith dbname=postgres") as connection:
        connection.execute("select pg_promote()")
