"""What the numbers of a run are made of: times, rates, memory."""

from __future__ import annotations

import array
import contextlib
import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


def seconds(worked: dict[str, Any], since: str = "began_ns") -> float:
    """How long the worker worked."""
    return float(worked["ended_ns"] - worked[since]) / 1e9


def memory_values(worked: dict[str, Any]) -> dict[str, float]:
    """What the operating system says; nothing where it has no /proc."""
    if not worked["memory_after"]:
        return {}
    return {
        "rss_before_mib": worked["memory_before"].get("rss_kib", 0) / 1024,
        "rss_peak_mib": worked["memory_after"]["rss_peak_kib"] / 1024,
    }


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for files of times, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        yield Path(folder)


def read_times(path: Path) -> list[int]:
    """What a file of times holds: a number of nanoseconds for each job, 0 for never."""
    found = array.array("q")
    found.frombytes(path.read_bytes())
    return found.tolist()


def latencies_ms(deferred: list[int], started: list[int], jobs: int) -> list[float]:
    """From defer to start, of the first `jobs` jobs that did start."""
    pairs = zip(deferred[:jobs], started[:jobs], strict=True)
    return [(start - defer) / 1e6 for defer, start in pairs if start]


def throughput(started: list[int], began_ns: int, ended_ns: int) -> float:
    """Jobs that started in a window, per second."""
    if ended_ns <= began_ns:
        return math.nan
    within = sum(began_ns <= start <= ended_ns for start in started)
    return within / ((ended_ns - began_ns) / 1e9)
