"""Starts a peer's worker commands, watches what their jobs do, and stops them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.peers import diary
from benchmarks.peers.command import Order, Peer, Start
from benchmarks.peers.diary import Diary
from benchmarks.peers.protocol import emit

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
# Shared memory, where the machine has it: what a job notes must not wait for a disk.
SHARED_MEMORY = found if (found := Path("/dev/shm")).exists() else None  # noqa: S108
POLL_INTERVAL_S = 0.002
# Counting a million notes takes milliseconds, on cores that the worker and the database need.
LOOKING_SHARE = 0.05
ARRIVE_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Commands:
    """The worker's running commands."""

    processes: list[subprocess.Popen[bytes]]
    stop_signal: int

    def check(self) -> None:
        """Raise RuntimeError if one has ended by itself."""
        for process in self.processes:
            if process.poll() is not None:
                raise RuntimeError(f"a worker's command ended with {process.returncode}")

    def memory(self) -> dict[str, int]:
        """The resident sets of all of their processes together, in KiB (Linux)."""
        sizes = [_memory(pid) for process in self.processes for pid in _tree(process.pid)]
        return {
            "rss_kib": sum(now for now, _ in sizes),
            "rss_peak_kib": sum(peak for _, peak in sizes),
        }

    def stop(self) -> None:
        """Stop all in order, and kill who does not obey."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(self.stop_signal)
        for process in self.processes:
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


async def work(peer: Peer, arguments: argparse.Namespace) -> None:
    """The command `work`; see `benchmarks.peers.protocol`."""
    start = peer.start(Order(arguments.kind, arguments.concurrency, arguments.processes))
    until_empty = (
        arguments.target == arguments.jobs
        and not arguments.announce
        and not arguments.until_stopped
    )
    stop = asyncio.Event()
    if arguments.until_stopped:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    folder = tempfile.TemporaryDirectory(prefix="bench-", dir=SHARED_MEMORY)
    with folder:
        times = arguments.times or Path(folder.name) / "times"
        notes = Path(folder.name) / "notes"
        written = Diary(times, notes, arguments.jobs)
        environment = {
            **os.environ,
            diary.DATABASE: arguments.database,
            diary.TIMES: str(times),
            diary.NOTES: str(notes),
            diary.JOBS: str(arguments.jobs),
        }
        with _started(start, environment) as commands:
            await _until_all_are(diary.ARRIVED, written, commands)
            folder.cleanup()  # all have it mapped; so nothing is left when we are killed
            memory_before = commands.memory()
            began_ns = time.monotonic_ns()
            written.open_gate()
            if arguments.until_stopped:
                await _until_all_are(diary.READY, written, commands)
                emit("ready")
            await _until_reached(written, commands, arguments, stop)
            if until_empty:
                await _until_empty(peer, arguments.database)
            ended_ns = time.monotonic_ns()
            memory_after = commands.memory()
    emit(
        "worked",
        began_ns=began_ns,
        first_ns=written.first_ns,
        ended_ns=ended_ns,
        runs=written.runs,
        failures=written.failures,
        ran_once=written.once,
        ran_never=written.never,
        memory_before=memory_before,
        memory_after=memory_after,
    )


@contextlib.contextmanager
def _started(start: Start, environment: dict[str, str]) -> Iterator[Commands]:
    processes: list[subprocess.Popen[bytes]] = []
    commands = Commands(processes, start.stop_signal)
    try:
        for slot in range(start.commands):
            own = {diary.SLOT: str(slot), diary.CONCURRENCY: str(start.concurrency)}
            process = subprocess.Popen(
                [sys.executable, "-m", *start.arguments],
                cwd=ROOT,
                env={**environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                # What a killed watcher leaves behind would go on taking jobs.
                preexec_fn=diary.die_with_parent,
            )
            processes.append(process)
        yield commands
    finally:
        commands.stop()


async def _until_all_are(state: int, written: Diary, commands: Commands) -> None:
    deadline = time.monotonic() + ARRIVE_TIMEOUT_S
    while not written.all_are(state, len(commands.processes)):
        commands.check()
        if time.monotonic() > deadline:
            raise RuntimeError(f"a worker's command was not there within {ARRIVE_TIMEOUT_S} s")
        await asyncio.sleep(POLL_INTERVAL_S)


async def _until_reached(
    written: Diary, commands: Commands, arguments: argparse.Namespace, stop: asyncio.Event
) -> None:
    unannounced = list(range(arguments.jobs)) if arguments.announce else []
    while not stop.is_set():
        unannounced = _announce(written, unannounced)
        began_s = time.monotonic()
        counts = not (unannounced or arguments.until_stopped)
        if counts and arguments.jobs - written.never >= arguments.target:
            return
        counting_s = time.monotonic() - began_s
        commands.check()
        await asyncio.sleep(max(POLL_INTERVAL_S, counting_s / LOOKING_SHARE))


def _announce(written: Diary, numbers: list[int]) -> list[int]:
    """Print which jobs have begun; the rest comes back."""
    left = []
    for number in numbers:
        if at_ns := written.began(number):
            emit("ran", number=number, at_ns=at_ns)
        else:
            left.append(number)
    return left


async def _until_empty(peer: Peer, database: str) -> None:
    # Asking is the only way to know: what counts is what the store says, not the worker.
    async with peer.unfinished(database) as unfinished:
        while await unfinished():  # noqa: ASYNC110
            await asyncio.sleep(POLL_INTERVAL_S)


def _tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [pid, *(found for child in children for found in _tree(int(child)))]
    return []


def _memory(pid: int) -> tuple[int, int]:
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        sizes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
        return int(sizes.get("VmRSS", 0)), int(sizes.get("VmHWM", 0))
    return 0, 0
