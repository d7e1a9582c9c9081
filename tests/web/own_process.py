"""`forthwith dashboard` as a process of its own, as a user starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DEADLINE_S = 60.0


class Serving(NamedTuple):
    """A dashboard that runs: its address, its process, and the file that it writes to."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Tell it to stop, and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)


@contextmanager
def serving(
    database_url: str, directory: Path, *arguments: str, **environment: str
) -> Iterator[Serving]:
    """Run `forthwith dashboard` on a free port until the block ends."""
    log = directory / "dashboard.log"
    command = [sys.executable, "-m", "forthwith", "dashboard", "--port", "0", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FORTHWITH_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=directory,
            env={**kept, "FORTHWITH_DATABASE_URL": database_url, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Serving(_url(process, log), process, log)
    finally:
        process.kill()
        process.wait()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    def said() -> re.Match[str] | None:
        text = log.read_text()
        assert process.poll() is None, text
        started = "Application startup complete" in text
        return re.search(r"The dashboard is at (\S+)/ ", text) if started else None

    wait_until_sync(said, deadline_s=DEADLINE_S)
    found = said()
    assert found is not None
    return found[1]
