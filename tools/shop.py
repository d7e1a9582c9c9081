"""A made-up shop with jobs of all kinds, for pictures of the dashboard."""

from __future__ import annotations

import asyncio
import math
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg

import forthwith
from forthwith.histogram import BOUNDS_S, bucket
from forthwith.operations import Desk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.operations import QueueState

PATIENCE_S = 60
TASKS = {"shop.mail": ("mail", 90, 0.03), "shop.charge": ("payments", 40, 0.06)}
"""The past of each: its queue, attempts a minute, share that fails."""
UNKNOWN = 1
"""Jobs that nobody can run."""
QUEUES = {queue for queue, _, _ in TASKS.values()}


def shop(database_url: str, closing: asyncio.Event) -> forthwith.App:
    """Return the app of the shop; its reports take until it closes."""
    app = forthwith.App(database_url)

    @app.task(name="shop.mail", queue="mail")
    async def mail(to: str) -> None:
        await asyncio.sleep(0.01)
        if to.startswith("nobody"):
            raise ConnectionRefusedError(f"mail.example.org refused {to}")

    @app.task(name="shop.charge", queue="payments")
    async def charge(order: int, api_key: str) -> None:  # noqa: ARG001 -- to be seen hidden
        await asyncio.sleep(0.02)
        if order % 7 == 0:
            raise TimeoutError(f"The bank did not answer for order {order}")

    @app.task(name="shop.report", queue="reports", pass_context=True)
    async def report(context: forthwith.JobContext, month: str) -> None:
        context.progress(7, 30, f"{month}: adding up the first week")
        await closing.wait()

    return app


async def live_through_a_morning(app: forthwith.App) -> int:
    """Have jobs of all kinds; return the id of one that waits behind a lock."""
    mail, charge, report = (app.tasks[f"shop.{name}"] for name in ("mail", "charge", "report"))
    await mail.batch_defer_async(
        *({"to": f"{who}@example.org"} for who in ("ada", "grace", "nobody") * 40)
    )
    await charge.batch_defer_async(
        *({"order": number, "api_key": "s3cr3t"} for number in range(1, 99))
    )
    await mail.configure(schedule_in={"hours": 3}).batch_defer_async(
        *({"to": "linus@example.org"} for _ in range(3))
    )
    await app.configure_task("shop.unknown", queue="mail").defer_async()
    monthly = report.configure(lock="reports")
    ids = [await monthly.defer_async(month=f"2026-{month:02}") for month in (8, 9, 10, 11)]
    return ids[2]


def invented_past(now: datetime) -> Iterator[tuple[object, ...]]:
    """Yield tallies of a day up to now: busier by day, with a bad quarter of an hour."""
    chance = random.Random(1)
    for minutes_ago in range(2, 24 * 60):
        at = (now - timedelta(minutes=minutes_ago)).replace(second=0, microsecond=0)
        busy = 0.45 + 0.4 * math.sin((at.hour - 9 + at.minute / 60) / 24 * math.tau)
        trouble = 6 if 21 <= minutes_ago <= 34 else 1
        for task, (queue, pace, share) in TASKS.items():
            ended = max(1, round(chance.gauss(pace * busy, pace / 12)))
            failed = sum(chance.random() < share * trouble for _ in range(ended))
            for outcome, attempts in (("succeeded", ended - failed), ("failed", failed)):
                if attempts:
                    yield (
                        at,
                        queue,
                        task,
                        outcome,
                        attempts,
                        *_times(attempts, 0.02),
                        *_times(attempts, 0.004),
                    )


def _times(attempts: int, each_s: float) -> tuple[float, list[int]]:
    counts = [0] * len(BOUNDS_S)
    counts[bucket(each_s)] = attempts
    return attempts * each_s, counts


async def write_past(database_url: str) -> None:
    """Put the invented tallies into the database."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.cursor().executemany(
            "insert into forthwith.tally values (%s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
            list(invented_past(datetime.now(UTC))),
        )


async def wait_until_worked_off(app: forthwith.App) -> None:
    """Return when nothing but reports is left to do now."""
    async with Desk(app) as desk, asyncio.timeout(PATIENCE_S):
        while any(_is_busy(queue) for queue in await desk.queues()):  # noqa: ASYNC110
            await asyncio.sleep(0.2)


def _is_busy(queue: QueueState) -> bool:
    return queue.name in QUEUES and (queue.ready > UNKNOWN or queue.running > 0)
