"""Worker processes that tests start, kill and stop."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import psycopg

from tests.support.forking import fork_python
from tests.support.waiting import wait_until, wait_until_sync

ROOT = Path(__file__).parents[2]
LOG_LINES_MAX = 200


class WorkerProcess:
    """A process that runs a worker for the app of `module`, in a process group of its own.

    `module` is a dotted name or the path of a Python file inside the repository. `options` go to
    run_worker; `environment` is added to ours.
    """

    def __init__(
        self,
        module: str | Path,
        database_url: str,
        log: Path,
        environment: dict[str, str] | None = None,
        **options: Any,
    ) -> None:
        self._database_url = database_url
        self.log = log
        arguments = [dotted_name(module), json.dumps(options)]
        with log.open("wb") as output, Path(os.devnull).open("rb") as nothing:
            self._process = fork_python(
                *("tests.support.worker_main", *arguments),
                environment=_environment(database_url) | (environment or {}),
                stdin=nothing.fileno(),
                stdout=output.fileno(),
                stderr=output.fileno(),
            )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """The exit status (negative: the signal that ended it), None while it runs."""
        return self._process.poll()

    def output(self) -> str:
        """Return the end of what it has logged and printed so far."""
        lines = self.log.read_text(errors="replace").splitlines(keepends=True)
        return "".join(lines[-LOG_LINES_MAX:])

    async def wait_ready(self, deadline_s: float = 30.0) -> WorkerProcess:
        """Wait until the worker is registered in the database; fail if the process ends first."""
        await wait_until(self._is_registered, deadline_s)
        return self

    def send(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill the process and all its children at once (SIGKILL), and wait until it is gone."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    async def stop(self, deadline_s: float = 30.0) -> int:
        """Ask the process to stop (SIGTERM), wait until it has, return its exit status."""
        self.send(signal.SIGTERM)
        await wait_until(lambda: self.exit_status is not None, deadline_s)
        assert self.exit_status is not None
        return self.exit_status

    def clean_up(self) -> None:
        """Kill what still runs, and check that nothing stays."""
        self.kill()
        wait_until_sync(lambda: not self._has_group())

    def describe(self) -> str:
        """Return how it ended and what it said, for people who look at a failed test."""
        return f"worker process {self.pid}, exit status {self.exit_status}:\n{self.output()}"

    def _has_group(self) -> bool:
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    async def _is_registered(self) -> bool:
        if self.exit_status is not None:
            raise AssertionError(f"the worker exited with {self.exit_status}:\n{self.output()}")
        query = "select from forthwith.worker where pid = %s"
        async with await psycopg.AsyncConnection.connect(self._database_url) as connection:
            return (await connection.execute(query, [self.pid])).rowcount > 0


def dotted_name(module: str | Path) -> str:
    """Return the name to import a module by: `tests/support/x.py` is `tests.support.x`."""
    if isinstance(module, str) and not module.endswith(".py"):
        return module
    path = Path(module).resolve().relative_to(ROOT).with_suffix("")
    return ".".join(path.parts)


def _environment(database_url: str) -> dict[str, str]:
    return os.environ | {"FORTHWITH_DATABASE_URL": database_url, "PYTHONUNBUFFERED": "1"}
