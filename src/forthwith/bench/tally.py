"""How often each job ran, and how long it had waited: counted in a worker, added up in the lab."""

from __future__ import annotations

import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

RUNS_MAX = 255
WAITS_SUFFIX = ".waits"


@dataclass(slots=True)
class Tally:
    """Jobs by their numbers, from 0. A byte for each job, and eight for each wait."""

    count: int = 0
    """All runs."""
    runs: bytearray = field(default_factory=bytearray)
    waits_s: array.array[float] = field(default_factory=lambda: array.array("d"))
    """From the call that deferred to the start, of the tasks that measure it."""

    def note(self, number: int) -> None:
        """Count a run of this job."""
        self.count += 1
        try:
            self.runs[number] += 1
        except IndexError:
            self.runs.extend(bytes(max(number + 1 - len(self.runs), len(self.runs))))
            self.runs[number] = 1
        except ValueError:
            self.runs[number] = RUNS_MAX

    def save(self, path: Path) -> None:
        """Write it to two files; the first is there when both are whole."""
        path.with_suffix(WAITS_SUFFIX).write_bytes(self.waits_s.tobytes())
        path.write_bytes(self.runs)


def load(path: Path) -> Tally:
    """Read what `save` wrote. Raises `FileNotFoundError`."""
    runs = bytearray(path.read_bytes())
    waits_s = array.array("d")
    waits_s.frombytes(path.with_suffix(WAITS_SUFFIX).read_bytes())
    return Tally(sum(runs), runs, waits_s)


def added(tallies: Iterable[Tally], jobs: int) -> Tally:
    """Return the sum of several workers' tallies, of the jobs 0 to `jobs` - 1 at least."""
    found = list(tallies)
    length = max([jobs, *(len(tally.runs) for tally in found)])
    runs = bytearray(length)
    waits_s = array.array("d")
    for tally in found:
        for number, times in enumerate(tally.runs):
            if times:
                runs[number] = min(RUNS_MAX, runs[number] + times)
        waits_s.extend(tally.waits_s)
    return Tally(sum(runs), runs, waits_s)


def strays(tally: Tally, jobs: int, times: int) -> list[str]:
    """Say which of the jobs 0 to `jobs` - 1 did not run exactly so many `times`."""
    expected = bytes([times]) * jobs
    found = bytes(tally.runs[:jobs])
    beyond = sum(tally.runs[jobs:])
    problems = [f"{beyond} runs of jobs that nobody deferred"] if beyond else []
    if found == expected:
        return problems
    return problems + [
        f"{found.count(bytes([ran]))} of {jobs} jobs ran {ran} times, not {times}"
        for ran in sorted(set(found))
        if ran != times
    ]
