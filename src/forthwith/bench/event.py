"""What a child process of the lab says: a line of JSON on its standard output for each event."""

from __future__ import annotations

import json
import sys
import time
from typing import Any, NamedTuple


class Event(NamedTuple):
    """Something that happened in a child, at a time of the clock that all processes share."""

    name: str
    at_s: float
    """Of CLOCK_MONOTONIC, in seconds."""
    values: dict[str, Any]


def emit(name: str, *, at_s: float | None = None, **values: Any) -> None:
    """Say it at once. Without `at_s` it happened now."""
    moment_s = time.monotonic() if at_s is None else at_s
    sys.stdout.write(json.dumps({"event": name, "at_s": moment_s, **values}) + "\n")
    sys.stdout.flush()


def parsed(line: bytes) -> Event | None:
    """Return the event of a line, or None for a line that is something else."""
    try:
        values = json.loads(line)
        return Event(str(values.pop("event")), float(values.pop("at_s")), values)
    except (ValueError, KeyError, AttributeError, TypeError):
        return None
