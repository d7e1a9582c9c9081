"""What a process uses of the machine: memory and time of its cores."""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path

_KIB = 1024
# Of the line of /proc/PID/stat behind the program's name, which may hold anything but ends with ")".
_USER_TIME, _SYSTEM_TIME = 11, 12


def resident_bytes() -> int | None:
    """Return this process's resident set now; None where the system does not tell (macOS)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    found = re.search(r"^VmRSS:\s+(\d+) kB", status.read_text(), re.MULTILINE)
    return int(found[1]) * _KIB if found else None


def resident_bytes_max() -> int:
    """Return this process's resident set at its highest."""
    highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return highest if sys.platform == "darwin" else highest * _KIB


def cpu_s_of(pid: int) -> float | None:
    """Return the seconds of CPU that a running process has used; None where /proc is missing."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return None
    fields = stat.read_text().rpartition(")")[2].split()
    ticks = int(fields[_USER_TIME]) + int(fields[_SYSTEM_TIME])
    return ticks / os.sysconf("SC_CLK_TCK")


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Return how many processes wanted a core in the last minute, on average; None where unknown."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return None
