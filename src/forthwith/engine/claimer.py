"""Keeps the buffer filled: looks, claims, and sleeps when there is nothing."""

from __future__ import annotations

import asyncio
import logging
import time
from operator import attrgetter
from typing import TYPE_CHECKING

from forthwith.engine.backoff import Backoff
from forthwith.engine.meter import Meter
from forthwith.engine.pace import Pace
from forthwith.engine.ports import QUEUE_START, Position, Share
from forthwith.errors import DatabaseUnavailable
from forthwith.outcome import Released

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from forthwith.engine.buffer import Buffer
    from forthwith.engine.completer import Completer
    from forthwith.engine.lease_keeper import LeaseKeeper
    from forthwith.engine.pauser import Pauser
    from forthwith.engine.ports import JobStore
    from forthwith.engine.runner import Runners
    from forthwith.job import ClaimedJob

logger = logging.getLogger(__name__)

LOOK_INTERVAL_S = 0.05
LOOK_SHARE_MAX = 0.1
BUSY_BEFORE_QUIET_S = 0.2
BACKLOG_MAX = 20_000
HINTS_MAX = 100
OPEN_DEFERS_PAUSE_S = 0.02
OPEN_DEFERS_PAUSE_MAX_S = 0.5
FRUITLESS_MAX = 10
FRUITLESS_PAUSE_MAX_S = 0.5
_id, _priority = attrgetter("id"), attrgetter("priority")
# The server may still be at a claim whose connection we lost, for as long as a statement may take.
ORPHAN_CHECKS_S = (0.0, 2.0, 10.0, 40.0)


class Claimer:
    """Claims as many jobs as there is room for, from where the last claim of each queue ended.

    Now and then, and whenever a claim comes back short, it looks from the start: promotes what has
    become due, sorts what has arrived into its lines, and finds jobs of a higher priority. Between
    looks a claim costs what it takes, whatever lies around it.
    """

    def __init__(
        self,
        *,
        store: JobStore,
        buffer: Buffer,
        runners: Runners,
        completer: Completer,
        lease: LeaseKeeper,
        pauser: Pauser,
        queues: Sequence[str] | None,
        concurrency: int,
        wait: bool,
        polling_interval_s: float,
        notified: bool,
        on_caught_up: Callable[[], None],
        meter: Meter | None = None,
        on_claimed: Callable[[Sequence[ClaimedJob]], Awaitable[None]] | None = None,
    ) -> None:
        self._meter = meter or Meter()
        self._on_claimed = on_claimed
        self._store = store
        self._buffer = buffer
        self._runners = runners
        self._completer = completer
        self._lease = lease
        self._pauser = pauser
        self._queues = queues
        self._concurrency = concurrency
        self._wait = wait
        self._polling_interval_s = polling_interval_s
        self._notified = notified
        self._on_caught_up = on_caught_up
        self._pace = Pace()
        self._backoff = Backoff()
        self._hint = asyncio.Event()
        self._look_wanted = False
        self._hinted_queues: set[str] = set()
        self._followed = 0  # hints since the last look
        self._fruitless = (
            0  # claims in a row that came to nothing, since the last wait without a hint
        )
        self._stopping = False
        self.is_asleep = False
        """Nothing to claim was found, and no sign of any since. Read from other threads."""
        self._asked_for_notify = False
        self._open_defers_s = 0.0  # for how long to sleep while there are any; 0: there are none
        self._busy_since_s: float | None = None
        self._positions: dict[str, Position] = {}
        self._ready_queues: list[str] = []
        self._next_look_s = 0.0
        self._next_due_s: float | None = None
        self._orphan_checks_s: list[float] = []

    def hint(self, queue: str | None = None) -> None:
        """Say that there may be something to claim: in that queue, or (None) anywhere.

        Anybody who can connect can notify us, of any name and at any rate. So no more names are kept
        than fit a claim: the next look finds what the others stood for.
        """
        if queue is None:
            self._look_wanted = True
        elif len(self._hinted_queues) < HINTS_MAX:
            self._hinted_queues.add(queue)
        self._hint.set()

    def start_over(self) -> None:
        """Say that the worker has registered anew: nobody knows any more that it wants to be woken."""
        self._asked_for_notify = False
        self.hint()

    def stop(self) -> None:
        """Claim no more. A claim that was sent is waited for, and what it returns is released."""
        self._stopping = True
        self._hint.set()
        self._buffer.room.set()

    async def run(self) -> None:
        """Claim until stopped."""
        while not self._stopping:
            try:
                await self._fill()
                self._backoff.reset()
            except DatabaseUnavailable as error:
                wait_s = self._backoff.next_s()
                logger.log(
                    self._backoff.log_level(error),
                    "Could not claim jobs, trying again in %.2f s: %s",
                    wait_s,
                    error,
                )
                await asyncio.sleep(wait_s)
                self._distrust()

    async def _fill(self) -> None:
        size = await self._wait_for_room()
        if self._stopping:
            return
        asked_s, was_at_work = time.monotonic(), self._is_at_work
        jobs = await self._claim(size)
        self._fruitless = 0 if jobs else self._fruitless + 1
        if jobs:
            self._meter.claimed(len(jobs))
            if self._on_claimed is not None:
                await self._on_claimed(jobs)
            self._take_in(jobs, asked_s)
            await self._stay_quiet()
        elif not self._stopping:
            await self._rest(was_at_work=was_at_work)

    async def _wait_for_room(self) -> int:
        """Wait until the buffer wants jobs; return how many."""
        while True:
            while self._completer.backlog >= BACKLOG_MAX and not self._stopping:
                await self._completer.settled()
            self._pace.observe(self._runners.finished, time.monotonic())
            ahead = self._pace.ahead
            self._buffer.want_room(ahead // 2)
            wanted = self._concurrency + ahead - self._runners.running - len(self._buffer)
            starved = self._buffer.idle > 0 and len(self._buffer) == 0
            low = len(self._buffer) <= ahead // 2
            if self._stopping or (wanted > 0 and (starved or low)):
                return wanted
            await self._buffer.room.wait()

    async def _claim(self, size: int) -> list[ClaimedJob]:
        """Claim where the last claim ended; if that gives nothing, look from the start first."""
        rested = self._busy_since_s is None
        look_due = time.monotonic() >= self._next_look_s
        followed_many = self._followed >= HINTS_MAX
        if (
            self._hinted_queues
            and not (self._look_wanted or followed_many)
            and (rested or not look_due)
        ):
            # Somebody says where: claim there at once, and spare the look's round trip. But not time
            # and again: a stream of hints must not keep us from ever looking.
            self._hint.clear()
            self._go_to(self._hinted_queues)
        elif self._hint.is_set() or look_due:
            return await self._look(size)
        return await self._claim_ready(size) or await self._look(size)

    @property
    def _has_crashed(self) -> bool:
        """Whether we hold a job whose worker has died before. Until its end is recorded, a death hits it."""
        return bool(self._runners.crashed or self._completer.crashed)

    @property
    def _has_suspect(self) -> bool:
        """Whether we hold one with its last chance. It runs apart from all that may be to blame."""
        return any(job.is_suspect for job in (*self._runners.crashed, *self._completer.crashed))

    def _go_to(self, queues: set[str]) -> None:
        """Claim next from the start of these queues, too."""
        for queue in queues:
            self._positions.pop(queue, None)
        self._ready_queues = list(queues.union(self._ready_queues))
        self._followed += len(queues)
        queues.clear()

    async def _look(self, size: int) -> list[ClaimedJob]:
        await self._give_back_orphans()
        if self._open_defers_s and not await self._store.has_open_defers():
            self._open_defers_s = 0.0
        self._hint.clear()
        self._look_wanted = False
        self._hinted_queues.clear()
        self._followed = 0
        started_s = time.monotonic()
        outlook = await self._store.look(self._queues)
        self._positions.clear()
        self._ready_queues = outlook.queues
        self._next_due_s = outlook.next_due_s
        jobs = await self._claim_ready(size)
        if outlook.has_suspects and not (self._has_crashed or any(job.crashes for job in jobs)):
            unknown = self._runners.unknown_tasks
            jobs += await self._store.claim_suspect(self._queues, unknown, self._lease.worker_id)
        if outlook.more_to_sort:
            self.hint()
        # A look costs more the more dead rows lie at the queues' heads (somebody's old snapshot):
        # it may take a tenth of the time, no more.
        cost_s = time.monotonic() - started_s
        self._next_look_s = time.monotonic() + max(LOOK_INTERVAL_S, cost_s / LOOK_SHARE_MAX)
        return jobs

    async def _claim_ready(self, size: int) -> list[ClaimedJob]:
        unknown = self._runners.unknown_tasks
        shares = [
            Share(queue, size, self._positions.get(queue, QUEUE_START))
            for queue in self._ready_queues
        ]
        if len(shares) > 1:
            shares = await self._store.share_out(shares, size, unknown)
        if not shares:
            return []
        asked_s = time.monotonic()
        jobs = await self._store.claim(
            shares, unknown, self._lease.worker_id, crashed_too=not self._has_suspect
        )
        self._pace.observe_claim(time.monotonic() - asked_s)
        jobs.sort(key=_id)
        jobs.sort(key=_priority, reverse=True)  # stable: within a priority they stay by id
        for last in {job.queue: job for job in jobs}.values():
            self._positions[last.queue] = Position(-last.priority, last.id)
        return jobs

    def _take_in(self, jobs: list[ClaimedJob], asked_s: float) -> None:
        jobs, unwanted = ([], jobs) if self._stopping else self._pauser.sort(jobs, asked_s)
        self._completer.add_all([Released(job) for job in unwanted])
        if not jobs:
            return
        self._runners.expect(jobs)
        self._buffer.put(jobs)
        self._wake_up()

    @property
    def _is_at_work(self) -> bool:
        return bool(self._runners.running or len(self._buffer) or self._completer.backlog)

    async def _rest(self, *, was_at_work: bool) -> None:
        """There is nothing to claim: leave, if the worker does not wait; else sleep until woken.

        A job that was at work when the claim was asked for may have deferred others since, and be over.
        """
        if not self._wait:
            if self._is_at_work:
                await self._completer.settled()  # what runs may still bring back a retry
            elif not (was_at_work or self._hint.is_set()):
                self._on_caught_up()
                self._stopping = True
            return
        self._busy_since_s = None
        if self._notified and not self._asked_for_notify:
            # From here on a defer notifies us. One that came between our look and this is seen by
            # looking once more before the sleep; or, if its transaction is still open by then, later.
            await self._store.set_sleeping(self._lease.worker_id, sleeping=True)
            self._asked_for_notify = True
            self._open_defers_s = OPEN_DEFERS_PAUSE_S
            self.hint()
            return
        await self._sleep()

    async def _sleep(self) -> None:
        wait_s = self._polling_interval_s
        if self._next_due_s is not None:
            wait_s = min(wait_s, max(self._next_due_s, 0.0))
        if self._open_defers_s:
            wait_s = min(wait_s, self._open_defers_s)
            self._open_defers_s = min(2 * self._open_defers_s, OPEN_DEFERS_PAUSE_MAX_S)
        if self._orphan_checks_s:
            wait_s = min(wait_s, max(self._orphan_checks_s[0] - time.monotonic(), 0.0))
        if (
            self._fruitless > FRUITLESS_MAX
        ):  # hint upon hint comes to nothing: follow them at our pace
            pause_s = min(self._next_look_s - time.monotonic(), FRUITLESS_PAUSE_MAX_S)
            await asyncio.sleep(max(pause_s, 0.0))
        is_for_a_poll = wait_s == self._polling_interval_s
        self.is_asleep = True
        try:
            async with asyncio.timeout(wait_s):
                await self._hint.wait()
        except TimeoutError:
            self._fruitless = 0
            self.hint()
            if is_for_a_poll:  # most likely it finds nothing, either
                return
        self._wake_up()  # before the claim: from then on a death matters

    def _wake_up(self) -> None:
        self.is_asleep = False
        self._lease.quicken()

    async def _stay_quiet(self) -> None:
        """A worker that has been busy for a while looks often enough: it needs no notification."""
        now_s = time.monotonic()
        if self._busy_since_s is None:
            self._busy_since_s = now_s
        elif self._asked_for_notify and now_s - self._busy_since_s > BUSY_BEFORE_QUIET_S:
            await self._store.set_sleeping(self._lease.worker_id, sleeping=False)
            self._asked_for_notify = False

    def _distrust(self) -> None:
        """An answer was lost: what it said is not known, and it may take effect even later."""
        now_s = time.monotonic()
        self._next_look_s = 0.0
        self._asked_for_notify = False
        self._orphan_checks_s = [now_s + delay_s for delay_s in ORPHAN_CHECKS_S]

    async def _give_back_orphans(self) -> None:
        """Release what a claim took whose answer was lost."""
        if not self._orphan_checks_s or time.monotonic() < self._orphan_checks_s[0]:
            return
        known = self._runners.known_ids() + self._completer.pending_ids()
        orphans = await self._store.release_orphans(self._lease.worker_id, known)
        self._orphan_checks_s.pop(0)
        if orphans:
            logger.warning("Gave back %d jobs whose claim's answer was lost", len(orphans))
