"""When the lease keeper renews, and that nothing keeps it from leaving."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.engine.lease_keeper import LeaseKeeper
from forthwith.errors import DatabaseUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LONG_S = 3600.0
PATIENCE_S = 0.5


@dataclass
class FakeLeases:
    """A lease store that notes what it is asked, and fails or hangs as the test wants."""

    calls: list[str] = field(default_factory=list)
    hangs_in: str = ""
    fails: int = 0
    """How many of the next renewals fail."""
    is_known: bool = True
    holds_lock: bool = True
    session_is_lost: bool = False
    ids: int = 0
    intervals_s: list[float] = field(default_factory=list)
    """What each renewal has said about the next one."""
    running: list[int] = field(default_factory=list)
    """How many jobs each has said to run."""

    async def register(self) -> int:
        await self._note("register")
        self.ids += 1
        self.is_known = True
        return self.ids

    async def renew(self, worker_id: int, interval_s: float, running: int) -> bool:
        self.intervals_s.append(interval_s)
        self.running.append(running)
        await self._note(f"renew {worker_id}")
        self.session_is_lost = False
        if self.fails:
            self.fails -= 1
            raise DatabaseUnavailable("away")
        return self.is_known

    async def unregister(self, worker_id: int, *, leaves_jobs: bool) -> None:
        await self._note(f"unregister {worker_id}, {leaves_jobs}")

    async def disturbed(self) -> None:
        while not self.session_is_lost:  # noqa: ASYNC110 -- set from another thread
            await asyncio.sleep(0.005)

    async def close(self) -> None:
        self.calls.append("close")

    async def _note(self, call: str) -> None:
        self.calls.append(call)
        if call.startswith(self.hangs_in or "nothing"):
            await asyncio.sleep(LONG_S)


@dataclass
class Kept:
    """A keeper that runs, its store, and the leases that it has lost."""

    keeper: LeaseKeeper
    store: FakeLeases
    lost: list[int]


@pytest.fixture
async def keep() -> AsyncIterator[Callable[..., Any]]:
    """Start a keeper: `kept = await keep(store, renew_interval_s=60)`."""
    keepers = []

    async def keep(store: FakeLeases, *, renew_interval_s: float = LONG_S, **options: Any) -> Kept:
        lost: list[int] = []
        keeper = LeaseKeeper(
            store, renew_interval_s=renew_interval_s, on_lost=lost.append, **options
        )
        keepers.append(keeper)
        await keeper.start()
        return Kept(keeper, store, lost)

    yield keep
    for keeper in keepers:
        await keeper.stop(leaves_jobs=False, timeout_s=PATIENCE_S)


async def test_lease_is_renewed_again_and_again(keep: Any, wait_until: Any) -> None:
    kept = await keep(FakeLeases(), renew_interval_s=0.01)
    await wait_until(lambda: kept.store.calls.count("renew 1") > 3)
    await kept.keeper.stop(leaves_jobs=True, timeout_s=PATIENCE_S)
    assert kept.store.calls[0] == "register"
    assert kept.store.calls[-2:] == ["unregister 1, True", "close"]


async def test_each_renewal_says_how_many_jobs_run(keep: Any, wait_until: Any) -> None:
    numbers = iter(range(1000))
    kept = await keep(FakeLeases(), renew_interval_s=0.01, running=lambda: next(numbers))
    await wait_until(lambda: len(kept.store.running) >= 3)
    assert kept.store.running[:3] == [0, 1, 2]


async def test_loss_of_the_session_makes_the_renewal_due_at_once(
    keep: Any, wait_until: Any
) -> None:
    kept = await keep(FakeLeases(fails=2))
    assert kept.store.calls == ["register"]
    kept.store.session_is_lost = True
    # The first two fail: the next try comes after the backoff, not after the interval.
    await wait_until(lambda: kept.store.calls.count("renew 1") == 3)


async def test_lock_that_another_session_still_holds_is_tried_again_soon(
    keep: Any, wait_until: Any
) -> None:
    kept = await keep(FakeLeases())
    kept.store.holds_lock = False
    kept.store.session_is_lost = True
    await wait_until(lambda: kept.store.calls.count("renew 1") == 3)
    kept.store.holds_lock = True


async def test_worker_that_was_taken_for_dead_goes_on_as_another(
    keep: Any, wait_until: Any
) -> None:
    kept = await keep(FakeLeases())
    kept.store.is_known = False
    kept.store.session_is_lost = True
    await wait_until(lambda: kept.lost == [1])
    assert kept.keeper.worker_id == 2


async def test_registration_that_fails_is_the_callers_to_know() -> None:
    store = FakeLeases()

    async def refused() -> int:
        raise DatabaseUnavailable("away")

    store.register = refused  # type: ignore[method-assign]
    keeper = LeaseKeeper(store, renew_interval_s=1.0, on_lost=lambda _: None)
    with pytest.raises(DatabaseUnavailable):
        await keeper.start()
    await keeper.stop(leaves_jobs=False, timeout_s=PATIENCE_S)
    assert store.calls == ["close"]


@pytest.mark.parametrize("hangs_in", ["renew", "unregister"])
async def test_statement_that_hangs_does_not_keep_it_from_leaving(
    hangs_in: str, keep: Any, wait_until: Any
) -> None:
    kept = await keep(FakeLeases(hangs_in=hangs_in))
    kept.store.session_is_lost = True
    await wait_until(lambda: "renew 1" in kept.store.calls)
    async with asyncio.timeout(30):  # without its patience, it would wait for an hour
        await kept.keeper.stop(leaves_jobs=True, timeout_s=PATIENCE_S)
    await wait_until(lambda: kept.store.calls[-1] == "close")
    assert "unregister 1, True" in kept.store.calls


async def test_registration_that_hangs_does_not_keep_it_from_leaving(wait_until: Any) -> None:
    store = FakeLeases(hangs_in="register")
    keeper = LeaseKeeper(store, renew_interval_s=1.0, on_lost=lambda _: None)
    starting = asyncio.create_task(keeper.start())
    await wait_until(lambda: store.calls == ["register"])
    await keeper.stop(leaves_jobs=True, timeout_s=PATIENCE_S)
    await wait_until(lambda: store.calls == ["register", "close"])
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_stop_from_another_thread_needs_no_event_loop(keep: Any, wait_until: Any) -> None:
    kept = await keep(FakeLeases())
    kept.keeper.stop_blocking(leaves_jobs=True, timeout_s=30.0)  # this loop is blocked meanwhile
    assert kept.store.calls == ["register", "unregister 1, True", "close"]


class TestIdleness:
    """A worker without jobs renews seldom, having said so; it says when that changes."""

    async def test_idle_worker_renews_seldom_after_a_while(
        self, keep: Any, wait_until: Any
    ) -> None:
        kept = await keep(FakeLeases(), renew_interval_s=0.02, lease_s=3600, is_idle=lambda: True)
        await wait_until(lambda: kept.store.intervals_s[-1:] == [10.0])
        assert set(kept.store.intervals_s[:-1]) == {0.02}
        renewals = len(kept.store.intervals_s)
        await asyncio.sleep(0.2)  # ten of the short intervals
        assert len(kept.store.intervals_s) == renewals

    async def test_worker_with_jobs_goes_on_renewing(self, keep: Any, wait_until: Any) -> None:
        kept = await keep(FakeLeases(), renew_interval_s=0.01, lease_s=3600)
        await wait_until(lambda: len(kept.store.intervals_s) > 20)
        assert set(kept.store.intervals_s) == {0.01}

    async def test_quickening_renews_at_once_and_says_so(self, keep: Any, wait_until: Any) -> None:
        kept = await keep(FakeLeases(), renew_interval_s=0.02, lease_s=3600, is_idle=lambda: True)
        await wait_until(lambda: kept.store.intervals_s[-1:] == [10.0])
        renewals = len(kept.store.intervals_s)
        kept.keeper.quicken()
        await wait_until(lambda: len(kept.store.intervals_s) > renewals)
        assert kept.store.intervals_s[renewals] == 0.02

    async def test_who_quickens_it_while_it_decides_is_heard(
        self, keep: Any, wait_until: Any
    ) -> None:
        def is_idle() -> bool:
            kept.keeper.quicken()  # a job comes right after we were found idle, time and again
            return True

        kept = await keep(FakeLeases(), renew_interval_s=0.02, lease_s=3600, is_idle=is_idle)
        await wait_until(lambda: len(kept.store.intervals_s) > 20)
        assert set(kept.store.intervals_s) == {0.02}

    async def test_short_lease_is_renewed_thrice_all_the_same(
        self, keep: Any, wait_until: Any
    ) -> None:
        kept = await keep(FakeLeases(), renew_interval_s=0.01, lease_s=0.3, is_idle=lambda: True)
        await wait_until(lambda: kept.store.intervals_s[-1:] == [pytest.approx(0.1)])

    async def test_worker_that_was_taken_for_dead_renews_often_again(
        self, keep: Any, wait_until: Any
    ) -> None:
        kept = await keep(FakeLeases(), renew_interval_s=0.02, lease_s=3600, is_idle=lambda: True)
        await wait_until(lambda: kept.store.intervals_s[-1:] == [10.0])
        renewals = len(kept.store.intervals_s)
        kept.store.is_known = False
        kept.store.session_is_lost = True
        await wait_until(lambda: kept.lost == [1])
        await wait_until(lambda: len(kept.store.intervals_s) > renewals + 1)
        assert kept.store.intervals_s[renewals + 1] == 0.02
