"""What the jobs of a worker in a process of its own did, in memory that its watcher shares.

Some peers run their workers as commands, which fork or start threads. Each job then writes into
two files that all of those processes map: when it first began, how often it has succeeded, and how
often it has failed. A file that is mapped outlives the process that a test kills.
"""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

# The environment of a worker's command.
DATABASE: Final = "BENCH_DATABASE"
TIMES: Final = "BENCH_TIMES"
NOTES: Final = "BENCH_NOTES"
JOBS: Final = "BENCH_JOBS"
SLOT: Final = "BENCH_SLOT"
CONCURRENCY: Final = "BENCH_CONCURRENCY"

# The notes begin with the gate, then one byte for each command.
GATE: Final = 0
SLOTS: Final = 64
HEADER: Final = 1 + SLOTS
ARRIVED: Final = 1
READY: Final = 2

JOB_S: Final = 0.001
# About a millisecond of computation on the machine that these benchmarks were written on.
COMPUTE_STEPS: Final = 12_000
GATE_POLL_INTERVAL_S: Final = 0.001
PR_SET_PDEATHSIG: Final = 1


class FailedOnPurposeError(Exception):
    """What the first run of a `fail_once` job raises."""


class Diary:
    """When each job first began, and how often it has succeeded and failed."""

    def __init__(self, times: Path, notes: Path, jobs: int) -> None:
        self.jobs = jobs
        self._times = _mapped(times, 8 * jobs).cast("q")
        noted = _mapped(notes, HEADER + 2 * jobs)
        self._header = noted[:HEADER]
        self._runs = noted[HEADER : HEADER + jobs]
        self._failures = noted[HEADER + jobs :]

    # What a job does.

    def begin(self, number: int) -> None:
        """Note when the job first began."""
        if not self._times[number]:
            self._times[number] = time.monotonic_ns()

    def succeed(self, number: int) -> None:
        """Note that the job is done."""
        self._runs[number] = min(self._runs[number] + 1, 255)

    def fail_at_first(self, number: int) -> None:
        """Raise FailedOnPurposeError on the job's first run."""
        if not self._failures[number]:
            self._failures[number] = 1
            raise FailedOnPurposeError

    # What a command does, and its watcher with it.

    def arrive(self, slot: int) -> None:
        """Wait until the gate opens: nobody's clock runs while an interpreter imports."""
        self._header[1 + slot] = ARRIVED
        while not self._header[GATE]:
            time.sleep(GATE_POLL_INTERVAL_S)

    def ready(self, slot: int) -> None:
        """Say that this command listens now."""
        self._header[1 + slot] = READY

    def open_gate(self) -> None:
        """Let those who have arrived begin."""
        self._header[GATE] = 1

    def all_are(self, state: int, slots: int) -> bool:
        """Whether all commands have arrived, or are ready."""
        return all(found >= state for found in self._header[1 : 1 + slots])

    # What the watcher reads.

    @property
    def never(self) -> int:
        """How many jobs have not succeeded."""
        return bytes(self._runs).count(0)

    @property
    def once(self) -> int:
        """How many jobs have succeeded exactly once."""
        return bytes(self._runs).count(1)

    @property
    def runs(self) -> int:
        """How many runs have succeeded, of all jobs together."""
        return sum(self._runs)

    @property
    def failures(self) -> int:
        """How many runs have failed."""
        return sum(self._failures)

    @property
    def first_ns(self) -> int:
        """When the first job began; 0 if none has."""
        return min((at_ns for at_ns in self._times if at_ns), default=0)

    def began(self, number: int) -> int:
        """When the job began; 0 if it has not."""
        return self._times[number]


class Work:
    """The jobs of each kind, for the worker's command to register. One for each command."""

    def __init__(self) -> None:
        self.database = os.environ[DATABASE]
        self.concurrency = int(os.environ[CONCURRENCY])
        self._slot = int(os.environ[SLOT])
        self._diary = Diary(Path(os.environ[TIMES]), Path(os.environ[NOTES]), int(os.environ[JOBS]))

    def arrive(self) -> None:
        """Wait for the others; call it when all is imported."""
        die_with_parent()
        _forks_die_with_us()
        self._diary.arrive(self._slot)

    def ready(self) -> None:
        """Say that this command listens; call it wherever the peer has a hook for that."""
        self._diary.ready(self._slot)

    def run(self, kind: str, number: int) -> None:
        """Run a job of any kind but io."""
        getattr(self, kind)(number)

    def noop(self, number: int) -> None:
        """Do nothing."""
        self._diary.begin(number)
        self._diary.succeed(number)

    async def io(self, number: int) -> None:
        """Wait, as for a network."""
        self._diary.begin(number)
        await asyncio.sleep(JOB_S)
        self._diary.succeed(number)

    def thread(self, number: int) -> None:
        """Block, as a driver without async does."""
        self._diary.begin(number)
        time.sleep(JOB_S)
        self._diary.succeed(number)

    def cpu(self, number: int) -> None:
        """Compute."""
        self._diary.begin(number)
        sum(step * step for step in range(COMPUTE_STEPS))
        self._diary.succeed(number)

    def fail_once(self, number: int) -> None:
        """Fail, and succeed when run again."""
        self._diary.begin(number)
        self._diary.fail_at_first(number)
        self._diary.succeed(number)


def die_with_parent() -> None:
    """Be killed when the parent dies, so that a killed worker leaves no process behind (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _forks_die_with_us() -> None:
    """Have every process that this one forks killed when this one dies."""
    parent = os.getpid()

    def in_child() -> None:
        die_with_parent()
        if os.getppid() != parent:
            os._exit(1)  # it died before we could ask

    os.register_at_fork(after_in_child=in_child)


def _mapped(path: Path, size: int) -> memoryview:
    """The file's bytes, shared; the file is made or lengthened with zeros if need be."""
    with path.open("a+b") as file:
        if path.stat().st_size < size:
            file.truncate(size)
        return memoryview(mmap.mmap(file.fileno(), size))
