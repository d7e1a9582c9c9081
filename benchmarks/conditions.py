"""The conditions of a benchmark, to be printed and kept beside its numbers."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.server import Server

ROOT = Path(__file__).parent.parent


def read(server: Server, concurrency: int, batch_size: int, rounds: int) -> dict[str, str]:
    """Where, with what and how the benchmark runs."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "cpu": _cpu_model(),
        "cores": str(
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        ),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_average_before": load_average(),
        "python": platform.python_version(),
        "server": f"{server.kind}, on this machine",
        **{f"postgresql {name}": value for name, value in server.settings().items()},
        "history": "kept by every peer, except where its settings say otherwise",
        "jobs": "async no-ops, except in tasks and retries",
        "worker_processes": "1, except where the scenario says otherwise",
        "concurrency": str(concurrency),
        "defer_batch_size": str(batch_size),
        "rounds": str(rounds),
    }


def load_average() -> str:
    """How busy the machine has been over the last minute; the benchmark's own work included."""
    return f"{os.getloadavg()[0]:.2f}"


def commit() -> str:
    """The short commit, marked when the work tree differs from it."""
    try:
        head = _git("rev-parse", "--short", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no", "--", "src", "benchmarks")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{head}-changed" if changed else head


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _cpu_model() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def _memory_gib() -> str:
    return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f}"
