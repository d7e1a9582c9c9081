"""The app that the tests' worker processes run: tasks that leave evidence in the table `effect`.

A test process never imports this module: it defers by the tasks' names, see `in_process()` in
tests/support/effects.py.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

import psycopg

import forthwith
from tests.support.effects import COUNT, RECORD

app = forthwith.App(os.environ["FORTHWITH_DATABASE_URL"])


@app.task(name="note", pass_context=True)
async def note(context: forthwith.JobContext, key: str) -> None:
    """Leave an effect."""
    await record(context, "noted", key)


@app.task(name="hang_on_first_run", pass_context=True)
async def hang_on_first_run(context: forthwith.JobContext, key: str) -> None:
    """Never return from the first run; return from the second one at once."""
    if await record(context, "started", key) == 1:
        await asyncio.Event().wait()
    await record(context, "finished", key)


@app.task(name="add_one", pass_context=True)
async def add_one(context: forthwith.JobContext, key: str) -> None:
    """Read the counter, let others run, write it: an update is lost if two of these overlap."""
    await record(context, "started", key)
    async with await connect() as connection:
        [(value,)] = await (await connection.execute("select value from counter")).fetchall()
        await asyncio.sleep(0.002)
        await connection.execute("update counter set value = %s", [value + 1])
    await record(context, "finished", key)


class UnprintableError(Exception):
    """An exception that fails when somebody looks at it."""

    def __str__(self) -> str:
        raise RuntimeError("this exception has no text")


FAILURES: dict[str, BaseException] = {
    "ordinary": ValueError("an ordinary failure"),
    "unprintable": UnprintableError(),
    "not storable": ValueError("a NUL \x00 and half a surrogate pair \ud800"),
    "huge": ValueError("x" * 5_000_000),
    "exit": SystemExit(3),
    "grouped": ExceptionGroup("several", [ValueError("one"), KeyError("two")]),
}


@app.task(name="fail")
async def fail(key: str) -> None:
    """Fail in the way that `key` names."""
    raise FAILURES[key]


@app.task(name="sleep")
async def sleep(duration_s: float) -> None:
    """Wait like a task that waits for a network."""
    await asyncio.sleep(duration_s)


@app.task(name="nothing")
async def nothing(payload: Any = None) -> None:
    """Do nothing."""


async def connect() -> psycopg.AsyncConnection[Any]:
    """Connect to the test's database."""
    return await psycopg.AsyncConnection.connect(
        os.environ["FORTHWITH_DATABASE_URL"], autocommit=True
    )


async def record(context: forthwith.JobContext, kind: str, key: str) -> int:
    """Record an effect; return how many of this kind the job has had."""
    values = {"kind": kind, "key": key, "job_id": context.job.id, "pid": os.getpid()}
    async with await connect() as connection:
        await connection.execute(RECORD, values)
        [(count,)] = await (await connection.execute(COUNT, values)).fetchall()
        return int(count)
