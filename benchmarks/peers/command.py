"""Peers whose worker is a command of their own: what they implement, and their command line.

The command line is the one that `benchmarks.peers.protocol` describes. Here `work` starts the peer's
own worker command, once for each process that was asked for, and watches the diary that its jobs
write (`benchmarks.peers.diary`). The clock starts when all commands have imported what they need,
and stops when the peer's own store says that nothing is left. Standard library alone.
"""

from __future__ import annotations

import argparse
import array
import asyncio
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from benchmarks.peers.protocol import Sizes, batches, emit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

Kind = Literal["noop", "io", "thread", "cpu", "fail_once"]
# The method of a deferrer that each mode of the command `defers` calls.
MODES = {"single": "singles", "transaction": "transactions"}
# A patient producer waits for so long before it opens anew.
PATIENCE_S = 0.1


@dataclass(frozen=True, slots=True)
class Description:
    """What a reader must know about a peer that counts in its own store."""

    name: str
    version: str
    settings: dict[str, str]
    sizes: Sizes
    backend: Literal["postgresql", "redis", "sqlite"]
    kinds: tuple[Kind, ...]
    abilities: tuple[str, ...]
    succeeded_sql: str = ""
    unfinished_sql: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is asked to do; `processes` is 0 when the peer may choose."""

    kind: Kind
    concurrency: int
    processes: int


@dataclass(frozen=True, slots=True)
class Start:
    """How a worker is started: the module and arguments for Python, and how many commands."""

    arguments: tuple[str, ...]
    commands: int
    concurrency: int
    stop_signal: int


@dataclass(frozen=True, slots=True)
class Count:
    """What the peer's own store says."""

    succeeded: int
    unfinished: int


class Deferrer(Protocol):
    """A connection that defers."""

    async def batch(self, kind: Kind, numbers: Sequence[int]) -> None:
        """Defer a job for each number, in the way that is fastest for many."""

    async def one(self, kind: Kind, number: int) -> None:
        """Defer one job, in the way that is usual for one."""

    async def singles(self, kind: Kind, numbers: Sequence[int], callers: int) -> None:
        """Defer each number by itself, from that many callers at once."""


class TransactionalDeferrer(Deferrer, Protocol):
    """What a peer with the ability "transaction" opens."""

    async def transactions(self, kind: Kind, numbers: Sequence[int], callers: int) -> None:
        """Defer each by itself, in a transaction of the caller's with one small insert."""


class Peer(Protocol):
    """What `peer.py` implements."""

    def describe(self) -> Description:
        """Say what is measured, and how it is set up."""

    def start(self, order: Order) -> Start:
        """Say how the worker is started."""

    async def install(self, database: str) -> None:
        """Make what the store needs before the first job."""

    def deferrer(self, database: str) -> AbstractAsyncContextManager[Deferrer]:
        """Open what defers."""

    def unfinished(
        self, database: str
    ) -> AbstractAsyncContextManager[Callable[[], Awaitable[int]]]:
        """Open a connection of its own that counts the jobs that are left, cheaply."""

    async def count(self, database: str) -> Count:
        """Count all jobs."""


class BlockingDeferrer:
    """Defers through a function that blocks, as the libraries without async do."""

    def __init__(self, defer: Callable[[Kind, int], object]) -> None:
        self._defer = defer

    async def batch(self, kind: Kind, numbers: Sequence[int]) -> None:
        """One after another: these peers have no call for many."""
        for number in numbers:
            self._defer(kind, number)

    async def one(self, kind: Kind, number: int) -> None:
        """Block for one."""
        self._defer(kind, number)

    async def singles(self, kind: Kind, numbers: Sequence[int], callers: int) -> None:
        """Each caller is a thread."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(callers) as threads:
            shares = [numbers[caller::callers] for caller in range(callers)]
            calls = [loop.run_in_executor(threads, self._share, kind, share) for share in shares]
            await asyncio.gather(*calls)

    def _share(self, kind: Kind, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._defer(kind, number)


def main(peer: Peer) -> None:
    """Run one command of `peer`."""
    arguments = _parser().parse_args()
    if arguments.command == "describe":
        emit("described", **asdict(peer.describe()))
        return
    asyncio.run(COMMANDS[arguments.command](peer, arguments))


async def _install(peer: Peer, arguments: argparse.Namespace) -> None:
    await peer.install(arguments.database)
    emit("installed")


async def _load(peer: Peer, arguments: argparse.Namespace) -> None:
    async with peer.deferrer(arguments.database) as deferrer:
        began_ns = time.monotonic_ns()
        for numbers in batches(arguments.jobs, arguments.batch_size):
            await deferrer.batch(arguments.kind, numbers)
        emit("loaded", elapsed_ns=time.monotonic_ns() - began_ns)


async def _defer(peer: Peer, arguments: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    async with peer.deferrer(arguments.database) as deferrer:
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            before_ns = time.monotonic_ns()
            await deferrer.one(arguments.kind, int(line))
            emit("deferred", number=int(line), before_ns=before_ns, after_ns=time.monotonic_ns())


async def _defers(peer: Peer, arguments: argparse.Namespace) -> None:
    async with peer.deferrer(arguments.database) as deferrer:
        defer = getattr(deferrer, MODES[arguments.mode])
        began_ns = time.monotonic_ns()
        await defer(arguments.kind, range(arguments.jobs), arguments.concurrency)
        emit("deferred_all", elapsed_ns=time.monotonic_ns() - began_ns)


async def _produce(peer: Peer, arguments: argparse.Namespace) -> None:
    """Defer batch after batch; with a rate, each batch waits for its turn."""
    times = array.array("q", bytes(8 * arguments.jobs))
    turns = Turns(arguments)
    while not turns.over:
        try:
            async with peer.deferrer(arguments.database) as deferrer:
                turns.begin()
                await _take(turns, deferrer, arguments.kind, times)
        except Exception:
            if not arguments.patient:
                raise
            await asyncio.sleep(PATIENCE_S)
    await asyncio.to_thread(Path(arguments.times).write_bytes, times.tobytes())
    emit("produced", jobs=turns.taken, began_ns=turns.began_ns, ended_ns=turns.ended_ns)


class Turns:
    """The batches of a producer, each when its turn comes, until the time is over."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.began_ns = self.ended_ns = self.taken = 0
        self._duration_ns = int(arguments.seconds * 1e9)
        self._rate = arguments.rate
        self._batches = batches(arguments.jobs, arguments.batch_size)

    @property
    def over(self) -> bool:
        """Whether no batch is to come."""
        return bool(self.ended_ns)

    def begin(self) -> None:
        """Start the clock, at the first call."""
        self.began_ns = self.began_ns or time.monotonic_ns()

    async def next(self) -> range | None:
        """Wait for the next batch; None when all is over."""
        numbers = next(self._batches, None)
        if numbers is not None:
            await _turn(self.began_ns, numbers[0], self._rate)
        if numbers is None or time.monotonic_ns() >= self.began_ns + self._duration_ns:
            self.ended_ns = time.monotonic_ns()
            return None
        self.taken = numbers.stop
        return numbers


async def _take(turns: Turns, deferrer: Deferrer, kind: Kind, times: array.array[int]) -> None:
    """Defer what comes; `times` keeps those that were answered."""
    while (numbers := await turns.next()) is not None:
        now_ns = time.monotonic_ns()
        await deferrer.batch(kind, numbers)
        for number in numbers:
            times[number] = now_ns


async def _turn(began_ns: int, number: int, rate: float) -> None:
    if rate:
        wait_s = number / rate - (time.monotonic_ns() - began_ns) / 1e9
        await asyncio.sleep(max(wait_s, 0))


async def _count(peer: Peer, arguments: argparse.Namespace) -> None:
    emit("counted", **asdict(await peer.count(arguments.database)))


async def _work(peer: Peer, arguments: argparse.Namespace) -> None:
    from benchmarks.peers.watch import work

    await work(peer, arguments)


COMMANDS: dict[str, Callable[[Peer, argparse.Namespace], Any]] = {
    "install": _install,
    "load": _load,
    "defer": _defer,
    "defers": _defers,
    "produce": _produce,
    "work": _work,
    "count": _count,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="One peer of the benchmark.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("describe")
    added = {name: commands.add_parser(name) for name in COMMANDS}
    for command in added.values():
        command.add_argument("--database", required=True)
        command.add_argument("--kind", default="noop")
    for name in ("load", "defers", "produce", "work"):
        added[name].add_argument("--jobs", type=int, required=True)
    for name in ("load", "produce"):
        added[name].add_argument("--batch-size", type=int, required=True)
    for name in ("defers", "work"):
        added[name].add_argument("--concurrency", type=int, required=True)
    added["defers"].add_argument("--mode", choices=MODES, default="single")
    added["produce"].add_argument("--seconds", type=float, required=True)
    added["produce"].add_argument("--rate", type=float, default=0.0)
    added["produce"].add_argument("--times", type=Path, required=True)
    added["produce"].add_argument("--patient", action="store_true")
    work = added["work"]
    work.add_argument("--target", type=int, required=True)
    work.add_argument("--processes", type=int, default=0)
    work.add_argument("--announce", action="store_true")
    work.add_argument("--times", type=lambda path: Path(path).absolute())
    work.add_argument("--until-stopped", action="store_true")
    return parser
