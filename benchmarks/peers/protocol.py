"""The command line that every peer has, and the JSON lines that it prints.

A peer is a folder with a `requirements.txt` of exact pins and a `peer.py` that hands a `Peer` to
`main()`. It runs as a process of its own, in an environment of its own, so this module uses the
standard library alone. The commands:

    describe                                       name, version, settings, sizes, SQL that counts
    install  --database URL                        the peer's own schema
    load     --database URL --jobs N --batch-size  defers jobs 0 … N-1 in batches
    defer    --database URL                        defers one job for each number read from stdin
    work     --database URL --jobs N --target N    one worker, until target jobs are done

Every job is a no-op that gets its number, so that a run can be checked: which ran, and how often.
Times are CLOCK_MONOTONIC in nanoseconds, the same clock in every process of one machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

# How often the worker's end is looked for, once its last job has run.
DRAINED_POLL_INTERVAL_S = 0.002


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many jobs make a run of this peer long enough to be measured, and no longer."""

    burn_down: int
    burn_down_quick: int
    memory_waiting: int
    memory_waiting_quick: int
    memory_drained: int


@dataclass(frozen=True, slots=True)
class Description:
    """What a reader must know about a peer; the SQL counts in the peer's own tables."""

    name: str
    version: str
    settings: dict[str, str]
    sizes: Sizes
    succeeded_sql: str
    unfinished_sql: str


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is asked to do. `record` is called by each job with its number."""

    database: str
    concurrency: int
    until_empty: bool
    stop: asyncio.Event
    record: Callable[[int], None]


class Deferrer(Protocol):
    """A connection that defers."""

    async def defer_batch(self, numbers: Sequence[int]) -> None:
        """Defer a job for each number, in the way that is fastest for many."""

    async def defer_one(self, number: int) -> None:
        """Defer one job, in the way that is usual for one."""


class Peer(Protocol):
    """What `peer.py` implements."""

    def describe(self) -> Description:
        """Say what is measured, and how it is set up."""

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """Make the event loop that this peer is at its best with."""

    async def install(self, database: str) -> None:
        """Install the schema with the peer's own installer."""

    def deferrer(self, database: str) -> AbstractAsyncContextManager[Deferrer]:
        """Open what defers."""

    async def work(self, order: Order) -> None:
        """Run one worker: until the queue is empty, or until `order.stop` is set."""

    def drained(self, database: str) -> AbstractAsyncContextManager[Callable[[], Awaitable[bool]]]:
        """Open a connection of its own that tells whether the database has no job left to do."""


@dataclass(slots=True)
class Tally:
    """Counts each job's runs, in one byte a job."""

    jobs: int
    target: int
    announce: bool
    count: int = 0
    first_ns: int = 0
    runs: bytearray = field(default_factory=bytearray)
    reached: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.runs = bytearray(self.jobs)

    def record(self, number: int) -> None:
        """Note one run of job `number`."""
        if not self.count:
            self.first_ns = time.monotonic_ns()
        if self.announce:
            emit("ran", number=number, at_ns=time.monotonic_ns())
        self.runs[number] += 1
        self.count += 1
        if self.count == self.target:
            self.reached.set()


def main(peer: Peer) -> None:
    """Run one command of `peer`."""
    arguments = _parser().parse_args()
    if arguments.command == "describe":
        emit("described", **asdict(peer.describe()))
        return
    commands = {"install": _install, "load": _load, "defer": _defer, "work": _work}
    with asyncio.Runner(loop_factory=peer.new_event_loop) as runner:
        runner.run(commands[arguments.command](peer, arguments))


def emit(event: str, **values: Any) -> None:
    """Print one JSON line, at once."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def memory() -> dict[str, int]:
    """This process's resident set, now and at its highest, in KiB (Linux; elsewhere empty)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return {}
    sizes = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status.read_text(), re.MULTILINE))
    return {"rss_kib": int(sizes["VmRSS"]), "rss_peak_kib": int(sizes["VmHWM"])}


def batches(jobs: int, size: int) -> Iterator[range]:
    """The numbers 0 … jobs-1, in batches."""
    for first in range(0, jobs, size):
        yield range(first, min(first + size, jobs))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="One peer of the benchmark.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("describe")
    for name in ("install", "load", "defer", "work"):
        command = commands.add_parser(name)
        command.add_argument("--database", required=True)
        if name in ("load", "work"):
            command.add_argument("--jobs", type=int, required=True)
        if name == "load":
            command.add_argument("--batch-size", type=int, required=True)
        if name == "work":
            command.add_argument("--target", type=int, required=True)
            command.add_argument("--concurrency", type=int, required=True)
            command.add_argument("--announce", action="store_true")
    return parser


async def _install(peer: Peer, arguments: argparse.Namespace) -> None:
    await peer.install(arguments.database)
    emit("installed")


async def _load(peer: Peer, arguments: argparse.Namespace) -> None:
    async with peer.deferrer(arguments.database) as deferrer:
        began_ns = time.monotonic_ns()
        for numbers in batches(arguments.jobs, arguments.batch_size):
            await deferrer.defer_batch(numbers)
        emit("loaded", elapsed_ns=time.monotonic_ns() - began_ns)


async def _defer(peer: Peer, arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    async with peer.deferrer(arguments.database) as deferrer:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            before_ns = time.monotonic_ns()
            await deferrer.defer_one(int(line))
            emit("deferred", number=int(line), before_ns=before_ns, after_ns=time.monotonic_ns())


async def _work(peer: Peer, arguments: argparse.Namespace) -> None:
    tally = Tally(arguments.jobs, arguments.target, arguments.announce)
    until_empty = arguments.target == arguments.jobs and not arguments.announce
    stop = asyncio.Event()
    order = Order(arguments.database, arguments.concurrency, until_empty, stop, tally.record)
    async with peer.drained(arguments.database) as drained:
        memory_before = memory()
        began_ns = time.monotonic_ns()
        worker = asyncio.ensure_future(peer.work(order))
        await _reached(tally, worker)
        if until_empty:
            await _until(drained)
        ended_ns = time.monotonic_ns()
        stop.set()
        await worker
    emit(
        "worked",
        began_ns=began_ns,
        first_ns=tally.first_ns,
        ended_ns=ended_ns,
        runs=tally.count,
        ran_once=tally.runs.count(1),
        ran_never=tally.runs.count(0),
        memory_before=memory_before,
        memory_after=memory(),
    )


async def _until(drained: Callable[[], Awaitable[bool]]) -> None:
    # Asking is the only way to know: what counts is what the database says, not the worker.
    while not await drained():  # noqa: ASYNC110
        await asyncio.sleep(DRAINED_POLL_INTERVAL_S)


async def _reached(tally: Tally, worker: asyncio.Future[None]) -> None:
    """Wait for the target, or for a worker that ends (or fails) before it."""
    worker.add_done_callback(lambda _: tally.reached.set())
    await tally.reached.wait()
    if worker.done():
        worker.result()  # raises what the worker failed with
