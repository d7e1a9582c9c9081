"""How often the rescuer looks: as often as there is need, and never as often as somebody shouts."""

from __future__ import annotations

import asyncio
import datetime
import itertools
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.engine.rescuer import Rescuer
from forthwith.engine.watch import Gone, Look, Sighting, Watch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
INTERVAL_S = 0.02
OTHER = Sighting(
    worker_id=2,
    last_seen=NOON,
    lease_s=3600.0,
    renew_interval_s=10.0,
    is_expired=False,
    has_ended=False,
    has_session=None,
    server_age_s=1e6,
)


@dataclass
class FakeStore:
    """Shows one worker, which renews at each look unless it is silent."""

    seen: Sighting = OTHER
    is_silent: bool = False
    looks: int = 0
    rescued_from: list[Gone] = field(default_factory=list)
    _times: Any = field(default_factory=itertools.count)

    async def look_at_workers(self, doubted_ids: Sequence[int]) -> Look:
        self.looks += 1
        if not self.is_silent:
            later = NOON + datetime.timedelta(seconds=next(self._times))
            self.seen = self.seen._replace(last_seen=later)
        asked = self.seen.worker_id in doubted_ids
        seen = self.seen._replace(has_session=False if asked else None)
        now_s = time.monotonic()
        return Look(1, now_s, now_s, [seen])

    async def rescue(self, gone: Sequence[Gone], _limit: int) -> list[Any]:
        self.rescued_from += gone
        return []


@dataclass
class Rescuing:
    """A rescuer that runs, and what it does."""

    store: FakeStore
    rescuer: Rescuer
    doubts: list[None]


@asynccontextmanager
async def rescuing(store: FakeStore, *, notified: bool = True) -> AsyncIterator[Rescuing]:
    """Let a rescuer run."""
    doubts: list[None] = []
    rescuer = Rescuer(
        store,  # type: ignore[arg-type]
        Watch(renew_interval_s=1.0, lease_s=3600.0),
        worker_id=lambda: 1,
        interval_s=INTERVAL_S,
        notified=notified,
        on_doubt=lambda: doubts.append(None),
        on_rescued=lambda: None,
    )
    running = asyncio.create_task(rescuer.run())
    yield Rescuing(store, rescuer, doubts)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_idle_workers_are_looked_at_seldom(wait_until: Any) -> None:
    async with rescuing(FakeStore()) as it:
        await wait_until(lambda: it.store.looks)
        await asyncio.sleep(20 * INTERVAL_S)
        assert it.store.looks == 1


async def test_hint_makes_it_look_at_once(wait_until: Any) -> None:
    async with rescuing(FakeStore()) as it:
        await wait_until(lambda: it.store.looks)
        it.store.seen = OTHER._replace(renew_interval_s=INTERVAL_S)
        it.rescuer.hint()
        await wait_until(lambda: it.store.looks > 5)  # now somebody is not idle


async def test_stream_of_hints_makes_it_look_no_more_often_than_usual(wait_until: Any) -> None:
    async with rescuing(FakeStore()) as it:
        began_s = time.monotonic()
        while time.monotonic() - began_s < 20 * INTERVAL_S:
            it.rescuer.hint()
            await asyncio.sleep(0)
        assert it.store.looks <= 20 / 0.75 + 1


@pytest.mark.parametrize("change", [{"renew_interval_s": None}, {"renew_interval_s": INTERVAL_S}])
async def test_worker_that_may_have_jobs_is_looked_at_often(
    change: dict[str, Any], wait_until: Any
) -> None:
    async with rescuing(FakeStore(OTHER._replace(**change))) as it:
        await wait_until(lambda: it.store.looks > 5)
        assert not it.doubts


async def test_without_notifications_it_looks_often(wait_until: Any) -> None:
    async with rescuing(FakeStore(), notified=False) as it:
        await wait_until(lambda: it.store.looks > 5)


async def test_doubt_is_told_before_anybody_is_gone(wait_until: Any) -> None:
    store = FakeStore(OTHER._replace(renew_interval_s=INTERVAL_S), is_silent=True)
    async with rescuing(store) as it:
        await wait_until(lambda: it.doubts)
        assert not store.rescued_from
        await wait_until(lambda: store.rescued_from)
        assert {gone.worker_id for gone in store.rescued_from} == {2}
