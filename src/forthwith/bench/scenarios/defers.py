"""Defers alone: one by one, side by side, in batches, in a transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from forthwith.bench.activity import observed
from forthwith.bench.bench import Measured
from forthwith.bench.figure import Figure
from forthwith.bench.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from forthwith.bench.bench import Bench
    from forthwith.bench.order import DeferMode

TRANSACTIONS = 16
SHARE_OF_SECONDS = 0.2
SECONDS_MIN = 0.2


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to defer."""

    name: str
    mode: DeferMode
    concurrency: int = 1
    batch_size: int = 1


WAYS = (
    _Way("one at a time", "single"),
    _Way("16 at a time", "single", 16),
    _Way("64 at a time", "single", 64),
    _Way("batches of 1,000", "batches", 1, 1000),
    _Way("batches of 10,000", "batches", 1, 10_000),
    _Way(f"in {TRANSACTIONS} transactions at a time", "transaction", TRANSACTIONS),
)


async def run(bench: Bench) -> Measured:
    """Measure each way for a while. The jobs do not run; the database must have each of them once."""
    seconds = max(SECONDS_MIN, bench.settings.seconds * SHARE_OF_SECONDS)
    figures: list[Figure] = []
    problems: list[str] = []
    jobs = 0
    for way in WAYS:
        await bench.place.empty()
        rate, deferred = await _measure(bench, way, seconds)
        figures.append(Figure(way.name, rate, "jobs/s"))
        problems += await _problems(bench, way, deferred)
        jobs += deferred
    return Measured(
        jobs=jobs,
        figures=tuple(figures),
        problems=tuple(problems),
        setup={"seconds each": seconds, "processes": 1},
    )


async def _measure(bench: Bench, way: _Way, seconds: float) -> tuple[float, int]:
    """Return how many jobs a second were deferred, and how many there were."""
    async with bench.producer(
        mode=way.mode,
        task="nothing",
        seconds=seconds,
        concurrency=way.concurrency,
        batch_size=way.batch_size,
        total=0,
    ) as producer:
        async with observed(bench.place, bench.activity):
            ended = await producer.wait_for("ended", None)
        await producer.wait_end()
    deferred = int(ended.values["deferred"])
    return deferred / float(ended.values["elapsed_s"]), deferred


async def _problems(bench: Bench, way: _Way, deferred: int) -> list[str]:
    query = bench.place.statement(
        "select count(*), count(distinct args -> 'number') from forthwith.job"
    )
    [(rows, numbers)] = await bench.rows(query)
    if rows == numbers == deferred:
        return []
    return [
        f"{way.name}: {deferred} jobs were accepted, but the table has {rows} ({numbers} distinct)"
    ]


DEFERS = Scenario(
    "defers",
    "S4",
    "defer 1, 16 and 64 at a time, in batches of 1,000 and 10,000, in transactions",
    run,
    True,
    workers=lambda _settings: 0,
    more_connections=TRANSACTIONS + 4,
)
