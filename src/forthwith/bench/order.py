"""What a child process of the lab is told to do: one line of JSON on its standard input."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

_STDIN = 0

DeferMode = Literal["batches", "paced", "gaps", "single", "transaction"]
"""How a producer defers: batches at once; batches at a rate; one job, a gap, the next; single defers
side by side; in transactions of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOrder:
    """Run a worker until SIGTERM."""

    url: str
    schema: str
    name: str
    tally: str
    """The file that says in the end how often each job ran."""
    options: dict[str, Any]
    """Of run_worker."""
    report_interval_s: float | None = 0.02
    """How often to say how many jobs have run; None: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducerOrder:
    """Defer jobs until there are `jobs`, or for `seconds`."""

    url: str
    schema: str
    name: str
    mode: DeferMode
    task: str
    first: int = 0
    """The number of the first job."""
    jobs: int | None = None
    seconds: float | None = None
    batch_size: int = 1000
    concurrency: int = 1
    rate: float = 0.0
    """Jobs per second of the mode `paced`."""
    gap_s: tuple[float, float] = field(default=(0.01, 0.05))
    """The shortest and the longest pause of the mode `gaps`, in seconds."""


def as_line(order: WorkerOrder | ProducerOrder) -> bytes:
    """Return the line that `read_order` reads in the child."""
    return json.dumps(asdict(order)).encode() + b"\n"


GO = b"go\n"


def read_order() -> dict[str, Any]:
    """Read the order from standard input.

    It does not come by the command line, for the URL may hold a password.
    """
    order: dict[str, Any] = json.loads(_read_line())
    return order


def wait_for_go() -> None:
    """Wait until the lab says that all its processes are there and may begin."""
    _read_line()


def _read_line() -> bytes:
    """Read a line from standard input, and not a byte more: what follows is the lifeline."""
    line = bytearray()
    while not line.endswith(b"\n"):
        byte = os.read(_STDIN, 1)
        if not byte:
            raise SystemExit("nobody says what to do: `forthwith bench` starts this program")
        line += byte
    return bytes(line)
