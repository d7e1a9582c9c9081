"""The app of the worker processes that faults are done to. Test processes never import this module."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

import forthwith
from tests.support.effects import COUNT, RECORD

if TYPE_CHECKING:
    from typing import Any

URL = os.environ["FORTHWITH_DATABASE_URL"]
POLL_S = 0.02

app = forthwith.App(URL)


def record(context: forthwith.JobContext, kind: str, key: str) -> int:
    """Leave an effect; return how many of this kind the job has had. Tries until the database is there."""
    values: dict[str, Any] = {
        "kind": kind,
        "key": key,
        "job_id": context.job.id,
        "pid": os.getpid(),
    }
    while True:
        try:
            with psycopg.connect(URL, autocommit=True) as connection:
                connection.execute(RECORD, values)
                [(count,)] = connection.execute(COUNT, values).fetchall()
                return int(count)
        except psycopg.OperationalError:
            time.sleep(POLL_S)


def is_set(flag: str) -> bool:
    """Whether the test has set a flag: a row in the table `flag`."""
    try:
        with psycopg.connect(URL, autocommit=True) as connection:
            return connection.execute("select from flag where name = %s", [flag]).rowcount > 0
    except psycopg.OperationalError:
        return False


@app.task(name="note", pass_context=True)
async def note(context: forthwith.JobContext, key: str) -> None:
    """Leave an effect."""
    record(context, "noted", key)


@app.task(name="wait_for_flag", pass_context=True)
async def wait_for_flag(context: forthwith.JobContext, key: str) -> None:
    """Run until the flag of this run (`key` and 1 for the first) is set."""
    run = record(context, "started", key)
    while not is_set(f"{key} {run}"):  # noqa: ASYNC110 -- set by another process
        await asyncio.sleep(POLL_S)
    record(context, "finished", f"{key} {run}")


@app.task(name="wait_in_thread", pass_context=True)
def wait_in_thread(context: forthwith.JobContext, key: str) -> None:
    """As wait_for_flag, in a thread; stops when it is told to."""
    run = record(context, "started", key)
    while not is_set(f"{key} {run}"):
        if context.should_abort():
            raise forthwith.errors.JobAborted
        time.sleep(POLL_S)
    record(context, "finished", f"{key} {run}")


@app.task(name="once", pass_context=True, on_crash="fail")
async def once(context: forthwith.JobContext, key: str) -> None:
    """Run until the flag is set; never run twice."""
    record(context, "started", key)
    while not is_set(key):  # noqa: ASYNC110 -- set by another process
        await asyncio.sleep(POLL_S)


@app.task(name="block_the_loop", pass_context=True)
async def block_the_loop(context: forthwith.JobContext, key: str, duration_s: float) -> None:
    """Block the event loop, as nobody should."""
    record(context, "started", key)
    time.sleep(duration_s)  # noqa: ASYNC251
    record(context, "finished", key)


@app.task(name="exit", pass_context=True)
async def exit_process(context: forthwith.JobContext, key: str) -> None:
    """Take the whole process down."""
    record(context, "started", key)
    os._exit(9)


@app.task(name="wait_for_file")
async def wait_for_file(path: str) -> None:
    """Run until a file is there, without the database."""
    file = Path(path)
    with file.with_suffix(".runs").open("a") as runs:
        runs.write("x")
    while not file.exists():  # noqa: ASYNC110, ASYNC240 -- made by another process
        await asyncio.sleep(POLL_S)
    file.with_suffix(".done").touch()
