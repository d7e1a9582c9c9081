"""What happens when PostgreSQL's disk fills up, as a program that has a mount namespace of its own.

    unshare --mount python -m tests.durability.disk_full_scenario PLACE HOME FILLED

Mounts a small disk at PLACE for PostgreSQL's data and its log; the lab's own files are in HOME. FILLED is
what there is no room for: `tables`, or `wal`, too. Prints the verdict and what was seen, as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from forthwith.database.embedded import open_embedded
from forthwith.errors import DatabaseUnavailable
from forthwith.verify.lab import Lab, LabSettings, open_lab
from tests.durability.steady_load import defer_again
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from forthwith.database.embedded import EmbeddedServer

SMALL, LARGE = "420m", "700m"
LEFT_BYTES = 3 * 1024 * 1024
CHUNK = b"\0" * (256 * 1024)
FILL_TABLE = "insert into room values (convert_to(repeat('x', 300000), 'utf8'))"
FILL_WAL = "select pg_logical_emit_message(false, '', repeat('x', 300000))"
FULL_S = 4.0


@dataclass(slots=True)
class Seen:
    """What the test judges."""

    ok: bool = False
    verdict: str = ""
    refusal: str = ""
    """What a defer raised on the full disk."""
    accepted_jobs: int = 0
    crashed_jobs: int = 0
    restarts: int = 0
    """How many postmasters came after the first one."""
    recovered_s: float = 0.0
    """From the disk's enlargement until a worker had run a job that was deferred after it."""
    exits: list[int | None] = field(default_factory=list)
    server_log: str = ""


def main() -> None:
    """Do it, and print what was seen."""
    place, home, filled = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    mount(place, SMALL)
    os.environ["FORTHWITH_HOME"] = str(place / "server")
    server = open_embedded(linger_s=0.1)
    try:
        seen = asyncio.run(observe(server, place, home, filled))
    finally:
        server.remove()
    print(json.dumps(asdict(seen)))


async def observe(server: EmbeddedServer, place: Path, home: Path, filled: str) -> Seen:
    """Work while the disk is full and after it has been enlarged."""
    seen = Seen()
    settings = LabSettings(worker_program="tests.durability.embedded_worker")
    async with open_lab(server.url, home, settings=settings, server=server) as lab:
        worker = lab.start_worker()
        await lab.wait_ready()
        held = await lab.defer("gate", "held")
        await lab.defer("work", "before")
        await wait_until(lambda: lab.starts(held))
        postmasters = {server.pid()}
        with lab.fault("disk full", "database"):
            fill(place)
            seen.refusal = await refusal(lab)
            if filled == "wal":
                await fill_wal(lab)
                seen.refusal = await refusal(lab)
            lab.open_gate("held")
            await wait_until(lambda: lab.starts(held)[0].ended_s)
            await wait_until(lambda: "Could not" in worker.output())
            full_until_s = time.monotonic() + FULL_S
            while time.monotonic() < full_until_s:
                postmasters.add(server.pid())
                await asyncio.sleep(0.02)
            mount(place, LARGE, remount=True)
        enlarged_s = time.monotonic()
        after = await defer_again(lab, "work", "after")
        await wait_until(lambda: lab.starts(after), deadline_s=60.0)
        seen.recovered_s = time.monotonic() - enlarged_s
        seen.restarts = len(postmasters - {None}) - 1
        verdict = await lab.settle(within_s=60.0)
        seen.ok, seen.verdict = verdict.ok, verdict.text()
        seen.accepted_jobs = sum(call.result == "ok" for call in verdict.history.calls)
        seen.crashed_jobs = sum(job.crashes for job in verdict.history.jobs)
        seen.exits = [life.exit_status for life in verdict.history.workers]
        seen.server_log = (place / "server" / "postgresql.log").read_text()[-4000:]
        print(worker.output(), file=sys.stderr)
    return seen


def mount(place: Path, size: str, *, remount: bool = False) -> None:
    """Mount a disk in memory, or change the size of the one that is there."""
    options = f"{'remount,' if remount else ''}size={size},mode=0711"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)


def fill(place: Path) -> None:
    """Leave room for nothing but a little."""
    with (place / "ballast").open("ab", buffering=0) as ballast:
        while free_bytes(place) > LEFT_BYTES:
            ballast.write(CHUNK)


def free_bytes(place: Path) -> int:
    """Return how much may still be written."""
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize


async def refusal(lab: Lab) -> str:
    """Defer jobs, and write other things, until there is no room; return what the defer says."""
    for number in itertools.count():
        with suppress(psycopg.OperationalError):
            async with await lab.connect() as connection:
                await connection.execute("create table if not exists room (bytes bytea)")
                await connection.execute("alter table room alter bytes set storage external")
                await connection.execute(FILL_TABLE)
        try:
            await lab.defer("work", f"{len(lab.calls)} {number}")
        except DatabaseUnavailable as error:
            return str(error)
    raise AssertionError


async def fill_wal(lab: Lab) -> None:
    """Write into the log, which needs no room in tables, until PostgreSQL can do so no more."""
    with suppress(psycopg.OperationalError):
        async with await lab.connect() as connection:
            while True:
                await connection.execute(FILL_WAL)


if __name__ == "__main__":
    main()
