"""Run the real `forthwith` command in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.support.forking import fork_python
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    import signal
    from pathlib import Path

DEADLINE_S = 60.0


class Ran(NamedTuple):
    """How a command ended and what it wrote."""

    code: int
    stdout: str
    stderr: str

    def document(self) -> Any:
        """Return the one JSON document on stdout; fail unless the command went well."""
        assert self.code == 0, self
        return json.loads(self.stdout)


class CommandLine:
    """The command line as a user has it: in a directory, with an environment."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self.directory = directory
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("FORTHWITH_")
        } | environment

    def run(self, *arguments: object, given: str = "", **environment: str) -> Ran:
        """Run a command to its end; `given` is its standard input."""
        with TemporaryFile("w+") as stdin, TemporaryFile("w+") as out, TemporaryFile("w+") as err:
            stdin.write(given)
            stdin.seek(0)
            process = fork_python(
                *("forthwith", *map(str, arguments)),
                directory=self.directory,
                environment=self._environment | environment,
                stdin=stdin.fileno(),
                stdout=out.fileno(),
                stderr=err.fileno(),
            )
            code = process.wait(DEADLINE_S)
            for written in (out, err):
                written.seek(0)
            return Ran(code, out.read(), err.read())

    def run_unheard(self, *arguments: object, output: int) -> int:
        """Run a command to its end, with all its output to that descriptor; return its exit code."""
        return subprocess.run(
            command(*arguments),
            cwd=self.directory,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            timeout=DEADLINE_S,
            check=False,
        ).returncode

    def start(self, *arguments: object, log: Path) -> Running:
        """Start a command that runs until it is told to stop."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(*arguments),
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return Running(process, log)


class Running:
    """A command that runs, and the file that all its output goes to."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """The process id."""
        return self.process.pid

    def output(self) -> str:
        """Return what it has written so far."""
        return self.log.read_text(errors="replace")

    def wait_for_output(self, text: str, times: int = 1) -> None:
        """Wait until it has written `text` so many times."""
        wait_until_sync(lambda: self._has_written(text, times))

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def wait(self) -> int:
        """Wait until it ends, and return its exit code."""
        return self.process.wait(DEADLINE_S)

    def clean_up(self) -> None:
        """Kill it if it still runs, and print its output for a failing test."""
        self.process.kill()
        self.process.wait()
        print(f"--- process {self.pid}, exit code {self.process.returncode}:\n{self.output()}")

    def _has_written(self, text: str, times: int) -> bool:
        has_ended = self.process.poll() is not None  # before the look: it may write and end
        output = self.output()
        if output.count(text) >= times:
            return True
        assert not has_ended, f"ended with {self.process.returncode}:\n{output}"
        return False


def command(*arguments: object) -> list[str]:
    """Return the command line that runs forthwith with this interpreter."""
    return [sys.executable, "-m", "forthwith", *map(str, arguments)]
