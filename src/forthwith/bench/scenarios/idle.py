"""Workers that have nothing to do."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from forthwith.bench.bench import Measured
from forthwith.bench.figure import Figure
from forthwith.bench.resources import cpu_s_of
from forthwith.bench.scenarios.scenario import Scenario

if TYPE_CHECKING:
    from forthwith.bench.bench import Bench
    from forthwith.bench.crew import Crew

TIMES = 4
SETTLE_S = 1.0
SHOW_INTERVAL_S = 0.25
MINUTE_S = 60.0
_TRANSACTIONS = (
    "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()"
)


async def run(bench: Bench) -> Measured:
    """Measure the queries and the CPU of idle workers.

    The server counts the transactions of the whole database: what others do there, measured just before
    without workers, is taken off.
    """
    settings = bench.settings
    seconds = settings.seconds * TIMES
    background = 0.0
    if not bench.place.is_embedded:
        background, _ = await _watch(bench, None, seconds)
    options = {"concurrency": settings.concurrency}
    async with bench.crew(
        settings.idle_workers, options, "idle", seconds, report_interval_s=None
    ) as crew:
        await crew.wait_ready()
        await asyncio.sleep(min(SETTLE_S, settings.seconds))
        queries, cpu_s = await _watch(bench, crew, seconds)
        await crew.stop()
    figures = [
        Figure("queries", max(0.0, queries - background) * MINUTE_S / seconds, "queries/min")
    ]
    if cpu_s is not None:
        figures.append(Figure("CPU of the workers", cpu_s * MINUTE_S / seconds, "CPU s/min"))
    return Measured(
        jobs=0,
        figures=tuple(figures),
        setup={"workers": settings.idle_workers, "seconds": seconds},
    )


async def _watch(bench: Bench, crew: Crew | None, seconds: float) -> tuple[float, float | None]:
    """Return the transactions of the database, and the CPU seconds of the crew, of that time."""
    before, cpu_before_s = await _transactions(bench), _cpu_s(crew)
    began_s = time.monotonic()
    while (left_s := began_s + seconds - time.monotonic()) > 0:
        bench.clock("idle" if crew else "counting what others do", began_s, seconds)
        await asyncio.sleep(min(SHOW_INTERVAL_S, left_s))
        if crew is not None:
            crew.check_alive()
    cpu_s = _cpu_s(crew)
    used_s = None if cpu_s is None or cpu_before_s is None else cpu_s - cpu_before_s
    return await _transactions(bench) - before, used_s


async def _transactions(bench: Bench) -> float:
    [(count,)] = await bench.rows(_TRANSACTIONS.encode())
    return float(count)


def _cpu_s(crew: Crew | None) -> float | None:
    used = [cpu_s_of(child.pid) for child in crew.children] if crew else []
    known = [cpu_s for cpu_s in used if cpu_s is not None]
    return sum(known) if crew and len(known) == len(used) else None


IDLE = Scenario(
    "idle",
    "S12",
    "ten idle workers: queries and CPU per minute",
    run,
    workers=lambda settings: settings.idle_workers,
)
