"""What was counted reaches the tallies once, whether or not the database is there at the time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forthwith.engine.meter import PAIRS_MAX, Key, Meter
from forthwith.engine.tallier import Tallier
from forthwith.errors import DatabaseUnavailable
from forthwith.outcome import Succeeded
from tests.unit.claimed import claimed_job

if TYPE_CHECKING:
    from forthwith.engine.meter import Counts

KEY = Key("default", "work", "succeeded")


@dataclass
class FakeTallies:
    """Keeps what is added, unless it is away."""

    is_away: bool = False
    calls: int = 0
    added: dict[Key, int] = field(default_factory=dict)
    most: int = 0

    async def add_tallies(self, counts: Counts) -> None:
        self.calls += 1
        self.most = max(self.most, len(counts.by_key))
        await asyncio.sleep(0)
        if self.is_away:
            raise DatabaseUnavailable("away")
        for key, ended in counts.by_key.items():
            self.added[key] = self.added.get(key, 0) + ended.attempts


def run_job(meter: Meter, job_id: int = 1, queue: str = "default") -> None:
    meter.ended([Succeeded(claimed_job(job_id, queue=queue))], [0.01], {job_id})


async def test_each_job_is_added_once() -> None:
    store, meter = FakeTallies(), Meter()
    tallier = Tallier(store, meter)
    for _ in range(3):
        run_job(meter)
        await tallier.add()
    assert store.added == {KEY: 3}


async def test_nothing_counted_is_no_statement() -> None:
    store, meter = FakeTallies(), Meter()
    tallier = Tallier(store, meter)
    await tallier.add()
    run_job(meter)
    await tallier.add()
    await tallier.add()
    assert store.calls == 1


async def test_what_could_not_be_added_is_kept_within_bounds() -> None:
    store, meter = FakeTallies(is_away=True), Meter()
    tallier = Tallier(store, meter)
    for number in range(3 * PAIRS_MAX):
        run_job(meter, number, f"queue {number}")
        if number % PAIRS_MAX == 0:
            await tallier.add()
    store.is_away = False
    await tallier.add()
    assert sum(store.added.values()) == 3 * PAIRS_MAX
    assert store.most <= PAIRS_MAX + 1


async def test_adding_twice_at_a_time_counts_once() -> None:
    store, meter = FakeTallies(), Meter()
    tallier = Tallier(store, meter)
    run_job(meter)
    await asyncio.gather(tallier.add(), tallier.add())
    assert store.added == {KEY: 1}
