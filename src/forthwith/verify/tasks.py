"""The tasks of the lab. Each run notes its start, its effect and its end in the process's diary."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import forthwith

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import psycopg

    from forthwith.verify.diary import Diary

POLL_S = 0.02


class LabTasks:
    """The lab's tasks. `home` is the lab's directory."""

    def __init__(self, diary: Diary, home: Path, schema: str) -> None:
        self._diary = diary
        self._gates = home / "gates"
        self._schema = schema

    def register(self, app: forthwith.App) -> None:
        """Register them with an app."""
        task = app.task
        task(name="work", pass_context=True)(self.work)
        task(name="threaded", pass_context=True)(self.threaded)
        task(name="transfer", pass_context=True, retry=20)(self.transfer)
        task(name="flaky", pass_context=True, retry=20)(self.flaky)
        task(name="block", pass_context=True)(self.block)
        task(name="gate", pass_context=True)(self.gate)
        task(name="trip", pass_context=True, retry=20)(self.trip)
        task(name="gated_transfer", pass_context=True, retry=20)(self.gated_transfer)
        task(name="gate_in_thread", pass_context=True)(self.gate_in_thread)
        task(name="stubborn", pass_context=True)(self.stubborn)
        task(name="poison", pass_context=True)(self.poison)
        task(name="once", pass_context=True, on_crash="fail")(self.once)
        task(name="once_poison", pass_context=True, on_crash="fail")(self.once_poison)

    async def work(self, context: forthwith.JobContext, key: str, run_s: float = 0.0) -> None:
        """Take `run_s` seconds, then leave an effect."""
        with self._run(context, key):
            await asyncio.sleep(run_s)
            self._note_effect(context)

    def threaded(self, context: forthwith.JobContext, key: str, run_s: float = 0.0) -> None:
        """As `work`, in a thread."""
        with self._run(context, key):
            time.sleep(run_s)
            self._note_effect(context)

    async def transfer(self, context: forthwith.JobContext, key: str, run_s: float = 0.0) -> None:
        """Leave a row in the transaction that completes the job."""
        with self._run(context, key):
            async with context.transaction() as connection:
                await self._write_effect(connection, context, key)
                await asyncio.sleep(run_s)
            self._note_effect(context)

    async def flaky(self, context: forthwith.JobContext, key: str, failures: int = 1) -> None:
        """Fail in the first runs, `failures` of them as far as the attempts tell."""
        with self._run(context, key):
            if context.job.attempts < failures:
                raise RuntimeError(f"failure {context.job.attempts + 1} of {failures}, as planned")
            self._note_effect(context)

    async def block(self, context: forthwith.JobContext, key: str, run_s: float) -> None:
        """Block the event loop, as nobody should."""
        with self._run(context, key):
            time.sleep(run_s)  # noqa: ASYNC251
            self._note_effect(context)

    async def gate(self, context: forthwith.JobContext, key: str) -> None:
        """Run until the gate of this run is open."""
        with self._run(context, key) as run:
            await self._gate(key, run)
            self._note_effect(context)

    async def trip(self, context: forthwith.JobContext, key: str) -> None:
        """As `gate`, but the first run fails in the end."""
        with self._run(context, key) as run:
            await self._gate(key, run)
            if run == 1:
                raise RuntimeError("the first run fails, as planned")
            self._note_effect(context)

    async def gated_transfer(self, context: forthwith.JobContext, key: str) -> None:
        """As `transfer`, but the transaction goes on until the gate of this run is open."""
        with self._run(context, key) as run:
            async with context.transaction() as connection:
                await self._write_effect(connection, context, key)
                await self._gate(key, run)
            self._note_effect(context)

    def gate_in_thread(self, context: forthwith.JobContext, key: str) -> None:
        """As `gate`, in a thread, and deaf to aborts."""
        with self._run(context, key) as run:
            while not self._is_open(key, run):
                time.sleep(POLL_S)
            self._note_effect(context)

    async def stubborn(self, context: forthwith.JobContext, key: str) -> None:
        """As `gate`, and whoever cancels it is ignored."""
        with self._run(context, key) as run:
            while not self._is_open(key, run):
                try:
                    await asyncio.sleep(POLL_S)
                except asyncio.CancelledError:
                    continue
            self._note_effect(context)

    async def poison(self, context: forthwith.JobContext, key: str) -> None:
        """Kill the whole process."""
        with self._run(context, key):
            os.kill(os.getpid(), signal.SIGKILL)

    async def once(self, context: forthwith.JobContext, key: str, run_s: float = 0.0) -> None:
        """As `work`, and never a second time after a crash."""
        with self._run(context, key):
            await asyncio.sleep(run_s)
            self._note_effect(context)

    async def once_poison(self, context: forthwith.JobContext, key: str) -> None:
        """As `poison`, and never a second time after a crash."""
        with self._run(context, key):
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def _run(self, context: forthwith.JobContext, key: str) -> Iterator[int]:
        """Note the start and the end. Gives the number of this run, 1 for the first."""
        run = self._next_run(key)
        details = {
            "job_id": context.job.id,
            "key": key,
            "task": context.job.task_name,
            "token": context.lease_token,
            "worker": context.worker_name,
            "pid": os.getpid(),
        }
        self._diary.note("start", **details)
        ended = {"job_id": context.job.id, "token": context.lease_token}
        try:
            yield run
        except BaseException as error:
            self._diary.note("end", **ended, error=type(error).__name__)
            raise
        self._diary.note("end", **ended)

    def _next_run(self, key: str) -> int:
        """Count the runs of a key over all processes: a directory can be made only once."""
        run = 1
        while True:
            try:
                (self._gates / f"{key}.{run}.begun").mkdir()
            except FileExistsError:
                run += 1
            else:
                return run

    async def _gate(self, key: str, run: int) -> None:
        while not self._is_open(key, run):  # noqa: ASYNC110 -- opened by another process
            await asyncio.sleep(POLL_S)

    async def _write_effect(
        self, connection: psycopg.AsyncConnection[Any], context: forthwith.JobContext, key: str
    ) -> None:
        await connection.execute(
            f'insert into "{self._schema}".effect (job_id, lease_token, key)'  # noqa: S608 -- checked
            " values (%s, %s, %s)",
            [context.job.id, context.lease_token, key],
        )

    def _is_open(self, key: str, run: int) -> bool:
        return (self._gates / f"{key}.{run}.open").exists()

    def _note_effect(self, context: forthwith.JobContext) -> None:
        self._diary.note("effect", job_id=context.job.id, token=context.lease_token)


def open_gate(home: Path, key: str, run: int) -> None:
    """Let the run of that number, 1 for the first, of `gate` and its like go on."""
    (home / "gates" / f"{key}.{run}.open").touch()


def lab_app(url: str, schema: str, diary: Diary, home: Path) -> forthwith.App:
    """Return an app with the lab's tasks."""
    app = forthwith.App(url, schema=schema)
    LabTasks(diary, home, schema).register(app)
    return app
