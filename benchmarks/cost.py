"""`python -m benchmarks.cost`: where a job's microseconds go, as CPU time (Linux).

Workers burn down a queue of jobs that do nothing, or that fail once first. CPU time, unlike the time on the
clock, tells nearly the same on a busy machine.
"""

from __future__ import annotations

import asyncio
import logging
import statistics
from collections import defaultdict
from typing import Any

import click

from benchmarks.bills import bill, load
from benchmarks.server import open_server


@click.command()
@click.option("--jobs", type=click.IntRange(1000), default=200_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--workers", type=click.IntRange(1), multiple=True, default=(1,), show_default=True)
@click.option("--concurrency", type=click.IntRange(1), default=100, show_default=True)
@click.option("--failing", is_flag=True, help="Each job fails once, and is retried at once.")
@click.option(
    "--filled",
    type=click.Choice(["no", "smaller", "full"]),
    default="no",
    show_default=True,
    help="In tables full of other jobs, as in full_tables: 1.2 million, or 12.",
)
@click.option(
    "--database", metavar="URL", help="A server on this machine instead of the embedded one."
)
def main(workers: tuple[int, ...], rounds: int, database: str | None, **options: Any) -> None:
    """Print what each process spends on a job, and what the server's wait for.

    With --workers several times, the numbers of worker processes take turns.
    """
    logging.getLogger("forthwith").setLevel(logging.ERROR)
    found: dict[int, dict[str, list[float]]] = {
        each: defaultdict(list) for each in dict.fromkeys(workers)
    }
    with open_server(database) as server:
        for _ in range(rounds):
            for count, values in found.items():
                with server.database() as url:
                    for name, value in asyncio.run(_round(url, count, **options)).items():
                        values[name].append(value)
    for count, values in found.items():
        sort = "failing jobs" if options["failing"] else "jobs"
        click.echo(
            f"\n{options['jobs']:,} {sort}, {count} worker processes, concurrency "
            f"{options['concurrency']}, {rounds} rounds: median (low to high)"
        )
        for name, each in values.items():
            figures = each + [0.0] * (rounds - len(each))
            median, low, high = statistics.median(figures), min(figures), max(figures)
            if median >= 0.05:
                click.echo(f"{name:60} {median:10,.1f} ({low:,.1f} to {high:,.1f})")


async def _round(
    url: str, count: int, *, jobs: int, concurrency: int, failing: bool, filled: str
) -> dict[str, float]:
    await load(url, jobs=jobs, failing=failing, filled=filled)
    return await bill(url, workers=count, jobs=jobs, concurrency=concurrency)


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.cost")
