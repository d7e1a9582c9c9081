"""An append-only file of what a process did. It survives the process, however that dies."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


class Diary:
    """One line of JSON per event, written whole and at once: from any thread, of any process."""

    def __init__(self, path: Path) -> None:
        """Open the file for appending; several processes may share it."""
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def note(self, event: str, **details: Any) -> None:
        """Write an event with the time now, `s`, in seconds by the monotonic clock of this machine."""
        line = json.dumps({"event": event, "s": time.monotonic(), **details})
        os.write(self._file, line.encode() + b"\n")

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_diary(path: Path, start: int = 0) -> tuple[list[dict[str, Any]], int]:
    """Return the events of a diary from the byte `start` on, and where the next ones will begin.

    A last line that is not whole, because a full disk has cut it short, is left out.
    """
    with path.open("rb") as file:
        file.seek(start)
        lines = file.read().splitlines(keepends=True)
    events: list[dict[str, Any]] = []
    for line in lines:
        try:
            events.append(json.loads(line))
        except json.JSONDecodeError:
            break
        start += len(line)
    return events, start
