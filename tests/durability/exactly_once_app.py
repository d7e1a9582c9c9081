"""The app of worker processes that are killed between a task's SQL and its commit."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import psycopg

import forthwith
from forthwith.store import completing
from tests.support import ways

completing.IDLE_CALLERS_MS = 3000  # half a minute would be long for a test

URL = os.environ["FORTHWITH_DATABASE_URL"]

app = forthwith.App(URL)


def sql(context: forthwith.JobContext, key: str) -> str:
    """Return the statement with the task's effect. The key is a way's name."""
    assert key.isidentifier()
    values = f"'paid', '{key}', {context.job.id}, {os.getpid()}"
    return f"insert into effect (kind, key, job_id, pid) values ({values})"  # noqa: S608


@app.task(name="pay", pass_context=True)
async def pay(context: forthwith.JobContext, key: str) -> None:
    """Write the effect; in the first run, wait for the end between that and the commit."""
    async with getattr(ways, key)(context, URL) as execute:
        await execute(sql(context, key))
        if context.job.attempts == 0:
            await asyncio.Event().wait()


@app.task(name="pay_in_thread", pass_context=True)
def pay_in_thread(context: forthwith.JobContext, key: str) -> None:
    """As `pay`, in a sync task."""
    with getattr(ways, key)(context, URL) as execute:
        execute(sql(context, key))
        while context.job.attempts == 0:
            time.sleep(60)


@app.task(name="linger", pass_context=True)
def linger(context: forthwith.JobContext, key: str) -> None:
    """Complete the job; in the first run commit only when the file `key` is there."""
    with psycopg.connect(URL) as connection:
        connection.execute(sql(context, "linger"))
        context.complete_in(connection)
        while context.job.attempts == 0 and not Path(key).exists():
            time.sleep(0.01)  # the test freezes the process meanwhile
