"""The command line that every peer has, and the JSON lines that it prints.

A peer is a folder with a `requirements.txt` of exact pins and a `peer.py` (Python), or with a
`package.json`, a `package-lock.json` and a `peer.mjs` (Node). It runs as a process of its own, in an
environment of its own, so this module uses the standard library alone. The commands:

    describe                            name, version, settings, sizes, backend, kinds, abilities, SQL
    install  --database URL             makes the peer's own schema
    load     --jobs N --batch-size B    defers jobs 0 … N-1 in batches, the fastest way for many
    defer                               defers one job for each number read from stdin
    defers   --jobs N --mode M --concurrency C
                                        defers N jobs one by one, from C callers at once; in mode
                                        "transaction" each in a transaction of the caller's
    produce  --seconds S --batch-size B --rate R --jobs MAX --times FILE
                                        defers for S seconds, at R jobs a second (0: as fast as it can);
                                        with --patient (Python) it opens anew when a defer fails,
                                        and goes on with the next batch
    work     --jobs N --target T --concurrency C --processes P [--announce] [--times FILE]
                                        one worker, until T jobs are done; with --until-stopped it says
                                        "ready" and works until SIGTERM
    count                               what the peer's own store says (PostgreSQL: asked by our SQL)

All but `describe` take `--database URL`, and `--kind`: what a job does.

    noop       nothing                      thread     blocks for 1 ms, in a thread
    io         waits for 1 ms on the loop   cpu        computes for about 1 ms
    fail_once  fails on its first run, and succeeds when it is run again, which is at once

Every job gets its number, so that a run can be checked: which ran, and how often. Times are
CLOCK_MONOTONIC in nanoseconds, the same clock in every process of one machine. A file of times holds
one 64-bit integer for each job: before the call that deferred it, or the start of its first run.

Python peers hand a `Peer` to `benchmarks.peers.command.main()`; Node peers use `protocol.mjs`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many jobs make a run of this peer long enough to be measured, and no longer."""

    burn_down: int
    burn_down_quick: int
    memory_waiting: int
    memory_waiting_quick: int
    memory_drained: int


def emit(event: str, **values: Any) -> None:
    """Print one JSON line, at once."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def batches(jobs: int, size: int) -> Iterator[range]:
    """The numbers 0 … jobs-1, in batches."""
    for first in range(0, jobs, size):
        yield range(first, min(first + size, jobs))
