"""What the demo can be told on its command line."""

from __future__ import annotations

import argparse
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """The demo's size and conduct."""

    exit: bool
    events: int
    workers: int
    endpoints: int
    failure_rate: float
    port: int
    receiver_port: int
    deadline_s: float
    lose_one: bool


def parse(arguments: list[str] | None = None) -> Options:
    """Return the options in `arguments` (the command line's by default)."""
    parser = argparse.ArgumentParser(prog="python -m app.demo", description=__doc__)
    add = parser.add_argument
    add("--exit", action="store_true", help="leave after the table instead of staying up")
    add("--events", type=_count, default=5000, help="how many to send (default: %(default)s)")
    add("--workers", type=_count, default=2, help="worker processes (default: %(default)s)")
    add("--endpoints", type=_count, default=150, help="receivers (default: %(default)s)")
    add("--failure-rate", type=_rate, default=0.2, help="of deliveries (default: %(default)s)")
    add("--port", type=int, default=8000, help="the service's, if free (default: %(default)s)")
    add("--receiver-port", type=int, default=9000, help="if free (default: %(default)s)")
    add("--deadline-s", type=float, default=120.0, help="give up then (default: %(default)s)")
    # The test of the test: deletes an accepted event behind everybody's back.
    add("--lose-one", action="store_true", help="lose one on purpose: the demo must notice")
    return Options(**vars(parser.parse_args(arguments)))


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


def _rate(text: str) -> float:
    if not 0 <= (rate := float(text)) < 1:
        raise argparse.ArgumentTypeError("must be at least 0 and less than 1")
    return rate
