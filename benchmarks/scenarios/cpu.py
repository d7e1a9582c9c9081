"""What processes cost: CPU seconds of whole trees of them, as Linux counts (nothing elsewhere)."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg

from benchmarks.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.scenarios.contender import Contender

PROC = Path("/proc")
TICK_S = 1 / os.sysconf("SC_CLK_TCK") if sys.platform == "linux" else 0.01
# In the second part of a process's line: its parent, its own ticks, and those of its dead children.
PARENT, OWN_TICKS, DEAD_CHILDRENS_TICKS = 1, slice(11, 13), slice(13, 15)
# In a core's line: user, nice, system, (idle, waiting for a disk,) interrupts, stolen.
BUSY = (0, 1, 2, 5, 6, 7)


def counts() -> bool:
    """Whether this machine tells what processes cost."""
    return (PROC / "self" / "stat").exists()


def usable() -> set[int]:
    """The numbers of the cores that we, and what we start, may use."""
    return os.sched_getaffinity(0) if sys.platform == "linux" else set(range(os.cpu_count() or 1))


def tree_s(pid: int, proc: Path = PROC) -> float:
    """CPU seconds of a process and of all below it, with those that have ended and were waited for."""
    return _own_s(pid, proc) + sum(tree_s(child, proc) for child in children(pid, proc))


def workers_s(pid: int, proc: Path = PROC) -> float:
    """The same for a peer's `work`: its workers, and not who watches them, if it has a watcher."""
    below = children(pid, proc)
    return sum(tree_s(child, proc) for child in below) if below else tree_s(pid, proc)


def children(pid: int, proc: Path = PROC) -> list[int]:
    """The processes that a process has started, by whichever of its threads."""
    found = []
    for task in (proc / str(pid) / "task").glob("*"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in (task / "children").read_text().split()]
    return found


def busy_s(cores: Iterable[int], proc: Path = PROC) -> float:
    """Seconds that these cores have spent on anything at all, summed."""
    wanted = {f"cpu{core}" for core in cores}
    lines = (line.split() for line in (proc / "stat").read_text().splitlines())
    return TICK_S * sum(
        int(ticks[index]) for name, *ticks in lines if name in wanted for index in BUSY
    )


def server_pid(contender: Contender, database: str) -> int | None:
    """The process that leads the peer's server; None where it is not on this machine."""
    if contender.backend == "redis":
        return int(redis_info(database, "server")["process_id"])
    with psycopg.connect(contender.backends.server.url) as connection:
        backend = connection.info.backend_pid
        # By a socket of this machine; behind another address the number may mean another process.
        local = connection.info.host.startswith(("/", "127.", "localhost", "::1"))
        fields = _stat(backend) if local and _name(backend) in ("postgres", "postmaster") else []
    return int(fields[PARENT]) if fields else None


def redis_info(database: str, section: str) -> dict[str, str]:
    """What the Redis server says of itself; this asks it two things."""
    url = urlsplit(database)
    with RedisServer(Path(), url.port or 0, url.password or "").connected() as connection:
        lines = str(connection.ask("INFO", section)).splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


def _own_s(pid: int, proc: Path) -> float:
    fields = _stat(pid, proc)
    return TICK_S * sum(map(int, fields[OWN_TICKS] + fields[DEAD_CHILDRENS_TICKS]))


def _stat(pid: int, proc: Path = PROC) -> list[str]:
    """The fields that follow the name; none if the process is gone."""
    with contextlib.suppress(OSError):
        return (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return []


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "comm").read_text().strip()
    return ""
