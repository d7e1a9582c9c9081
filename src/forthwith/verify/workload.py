"""The work of a campaign: seeded producers that defer, batch, schedule, cancel and roll back."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg

from forthwith.errors import AlreadyEnqueued, ConnectorException
from forthwith.verify.history import Call

if TYPE_CHECKING:
    import forthwith
    from forthwith.verify.history import Result
    from forthwith.verify.lab import Lab

QUEUES = ("mail", "payments", "reports")
LOCKS = tuple(f"account {number}" for number in range(12))
QUEUEING_LOCKS = ("digest", "cleanup", "sync")
PAUSE_S = 0.3
CANCELLABLE_MAX = 50


@dataclass(frozen=True, slots=True)
class Mix:
    """How often a producer does what: weights, not shares."""

    work: int = 40
    locked: int = 18
    transfer: int = 14
    flaky: int = 8
    scheduled: int = 7
    threaded: int = 4
    queueing: int = 4
    cancel: int = 4
    own_transaction: int = 4
    long: int = 2
    batch: int = 2
    once: int = 2
    poison: float = 0.08


@dataclass(slots=True)
class Producer:
    """Does one thing after the other until stopped. The seed decides what, not how fast."""

    lab: Lab
    app: forthwith.App
    """Defers through this app: direct, or through the proxy."""
    name: str
    seed: int
    rate: float
    """About how many things a second."""
    mix: Mix = field(default_factory=Mix)
    _count: int = 0
    _recent: list[int] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        """Produce until stopped. What the database refuses meanwhile is noted, and gone on from."""
        draw = random.Random(f"{self.seed} {self.name}")
        kinds = [name for name in Mix.__slots__ if getattr(self.mix, name)]
        weights = [getattr(self.mix, name) for name in kinds]
        while not stop.is_set():
            [kind] = draw.choices(kinds, weights)
            try:
                await getattr(self, f"_{kind}")(draw)
            except AlreadyEnqueued:
                pass
            except (ConnectorException, psycopg.Error, OSError):
                await asyncio.sleep(PAUSE_S)
            with suppress(TimeoutError):
                async with asyncio.timeout(draw.expovariate(self.rate)):
                    await stop.wait()

    def _key(self) -> str:
        self._count += 1
        return f"{self.name} {self._count}"

    async def _defer(self, draw: random.Random, task: str, **options: Any) -> int:
        job_id = await self.lab.defer(
            task,
            self._key(),
            app=self.app,
            queue=draw.choice(QUEUES),
            priority=draw.choice((0, 0, 0, 0, 5, -5)),
            **options,
        )
        self._recent = [*self._recent[-CANCELLABLE_MAX:], job_id]
        return job_id

    async def _work(self, draw: random.Random) -> None:
        await self._defer(draw, "work", run_s=draw.expovariate(1 / 0.02))

    async def _locked(self, draw: random.Random) -> None:
        task = draw.choice(("work", "work", "transfer"))
        run_s = draw.expovariate(1 / 0.02)
        await self._defer(draw, task, lock=draw.choice(LOCKS), run_s=run_s)

    async def _transfer(self, draw: random.Random) -> None:
        await self._defer(draw, "transfer", run_s=draw.expovariate(1 / 0.03))

    async def _flaky(self, draw: random.Random) -> None:
        lock = draw.choice((None, None, *LOCKS[:2]))
        await self._defer(draw, "flaky", failures=draw.randint(1, 3), lock=lock)

    async def _scheduled(self, draw: random.Random) -> None:
        lock = draw.choice((None, None, *LOCKS[:2]))
        await self._defer(draw, "work", schedule_in_s=draw.uniform(0.1, 5.0), lock=lock)

    async def _threaded(self, draw: random.Random) -> None:
        await self._defer(draw, "threaded", run_s=draw.expovariate(1 / 0.05))

    async def _queueing(self, draw: random.Random) -> None:
        await self._defer(draw, "work", queueing_lock=draw.choice(QUEUEING_LOCKS))

    async def _long(self, draw: random.Random) -> None:
        await self._defer(draw, draw.choice(("work", "transfer")), run_s=draw.uniform(0.5, 4.0))

    async def _once(self, draw: random.Random) -> None:
        await self._defer(draw, "once", run_s=draw.expovariate(1 / 0.02))

    async def _poison(self, draw: random.Random) -> None:
        await self._defer(draw, draw.choice(("poison", "once_poison")))

    async def _batch(self, draw: random.Random) -> None:
        jobs = [{"key": self._key(), "run_s": 0.001} for _ in range(draw.randint(2, 60))]
        await self.lab.defer_batch("work", jobs, queue=draw.choice(QUEUES), app=self.app)

    async def _cancel(self, draw: random.Random) -> None:
        if self._recent:
            await self.lab.cancel(draw.choice(self._recent), abort=draw.random() < 0.3)

    async def _own_transaction(self, draw: random.Random) -> None:
        """Defer in a transaction of the producer's own, which commits or rolls back."""
        key, queue, invoked_s = self._key(), draw.choice(QUEUES), time.monotonic()
        commits = draw.random() < 0.6
        result: Result = "fail"
        job_id = None
        try:
            async with await self.lab.connect() as connection:
                async with connection.transaction(force_rollback=not commits):
                    deferrer = self.lab.app.configure_task(
                        "work", queue=queue, connection=connection
                    )
                    job_id = await deferrer.defer_async(key=key)
                    result = "unknown" if commits else "fail"
                result = "ok" if commits else "fail"
        finally:
            self.lab.calls.append(
                Call(
                    "defer",
                    key,
                    result,
                    invoked_s,
                    time.monotonic(),
                    job_id if result == "ok" else None,
                    "work",
                    queue,
                )
            )
