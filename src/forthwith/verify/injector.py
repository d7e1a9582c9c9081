"""Does the planned faults to the lab's workers, connections and server."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import psycopg

from forthwith.verify.plan import FaultKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith.verify.lab import Lab
    from forthwith.verify.plan import PlannedFault
    from forthwith.verify.worker_process import LabWorker

logger = logging.getLogger(__name__)

TERMINATE = """
    select count(pg_terminate_backend(pid)) from pg_stat_activity
    where application_name = %s and datname = current_database()
"""
# What each of these texts is found in: a completion, a claim, a transfer's own commit, a rescue.
LOSABLE = ("insert into", "key share", "commit", "effect", "sort_lines")
SLOW_S = (0.02, 0.25)
STRIKE_WITHIN_S = 3.0
POLL_S = 0.02


@dataclass(slots=True)
class Injector:
    """Carries out a schedule, and keeps `workers` worker processes alive."""

    lab: Lab
    workers: int
    start_worker: Callable[[], LabWorker]
    slots: list[LabWorker] = field(default_factory=list)
    """The current process of each worker."""

    def start(self) -> None:
        """Start the workers."""
        self.slots = [self.start_worker() for _ in range(self.workers)]

    async def run(self, faults: list[PlannedFault]) -> None:
        """Inject the faults at their times; return when the last has ended."""
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                await asyncio.sleep(max(0.0, began_s + fault.at_s - time.monotonic()))
                group.create_task(self._inject(fault))

    async def supervise(self) -> None:
        """Replace worker processes that have ended, as a process manager does, until cancelled."""
        while True:
            for slot, worker in enumerate(self.slots):
                if worker.exit_status is not None:
                    self.slots[slot] = self.start_worker()
            await asyncio.sleep(0.1)

    async def _inject(self, fault: PlannedFault) -> None:
        worker = self._alive(fault.worker)
        try:
            await getattr(self, f"_{fault.kind}")(fault, worker)
        except psycopg.Error as error:  # the server is away because of another fault
            logger.debug("The fault %s could not be done: %s", fault.kind, error)

    def _alive(self, first: int) -> LabWorker:
        """Return the worker of that slot or, if its process has ended, of the next one that lives."""
        slots = [*self.slots[first:], *self.slots[:first]]
        return next((worker for worker in slots if worker.exit_status is None), slots[0])

    async def _kill(self, _fault: PlannedFault, worker: LabWorker) -> None:
        worker.kill()

    async def _freeze(self, fault: PlannedFault, worker: LabWorker) -> None:
        if worker.exit_status is None:
            worker.freeze()
            await asyncio.sleep(fault.for_s)
            if worker.exit_status is None:
                worker.thaw()

    async def _stop(self, fault: PlannedFault, worker: LabWorker) -> None:
        if worker.exit_status is not None:
            return
        with self.lab.fault(FaultKind.STOP, worker.name):
            worker.terminate()
            if fault.choice < 0.3:  # and a second time
                await asyncio.sleep(0.2)
                if worker.exit_status is None:
                    worker.terminate()

    async def _terminate(self, _fault: PlannedFault, worker: LabWorker) -> None:
        async with await self.lab.connect() as connection:
            with self.lab.fault(FaultKind.TERMINATE, "connections") as ongoing:
                ongoing.hits = 0
                deadline_s = time.monotonic() + STRIKE_WITHIN_S
                while not ongoing.hits and time.monotonic() < deadline_s:
                    cursor = await connection.execute(TERMINATE, [worker.name])
                    [(ongoing.hits,)] = await cursor.fetchall()
                    await asyncio.sleep(POLL_S)

    async def _cut(self, fault: PlannedFault, worker: LabWorker) -> None:
        proxy = self.lab.required_proxy
        with self.lab.fault(FaultKind.CUT, "connections") as ongoing:
            ongoing.hits = proxy.cut(only=None if fault.choice < 0.5 else worker.name)

    async def _vanish(self, fault: PlannedFault, worker: LabWorker) -> None:
        proxy = self.lab.required_proxy
        before = proxy.counters.bytes_swallowed
        with self.lab.fault(FaultKind.VANISH, worker.name) as ongoing:
            proxy.vanish(only=worker.name)
            await asyncio.sleep(fault.for_s)
            proxy.restore()
            ongoing.hits = int(proxy.counters.bytes_swallowed > before)

    async def _slow(self, fault: PlannedFault, _worker: LabWorker) -> None:
        proxy = self.lab.required_proxy
        low, high = SLOW_S
        with self.lab.fault(FaultKind.SLOW, "connections"):
            proxy.delay_s = low + fault.choice * (high - low)
            await asyncio.sleep(fault.for_s)
            proxy.delay_s = 0.0

    async def _lose(self, fault: PlannedFault, _worker: LabWorker) -> None:
        proxy = self.lab.required_proxy
        before = proxy.counters.replies_lost
        containing = LOSABLE[int(fault.choice * len(LOSABLE))]
        with self.lab.fault(FaultKind.LOSE, "connections") as ongoing:
            proxy.lose_reply(containing=containing)
            deadline_s = time.monotonic() + STRIKE_WITHIN_S
            while proxy.counters.replies_lost == before:
                if time.monotonic() > deadline_s:
                    break
                await asyncio.sleep(POLL_S)
            ongoing.hits = proxy.counters.replies_lost - before

    async def _restart(self, fault: PlannedFault, _worker: LabWorker) -> None:
        await self._without_server(FaultKind.RESTART, "fast", fault.for_s)

    async def _crash(self, fault: PlannedFault, _worker: LabWorker) -> None:
        await self._without_server(FaultKind.CRASH, "immediate", fault.for_s)

    async def _outage(self, fault: PlannedFault, _worker: LabWorker) -> None:
        mode = "fast" if fault.choice < 0.5 else "immediate"
        await self._without_server(FaultKind.OUTAGE, mode, fault.for_s)

    async def _without_server(self, kind: FaultKind, mode: str, for_s: float) -> None:
        server = self.lab.server
        assert server is not None, "only a server of the lab's own is stopped"
        with self.lab.fault(kind, "database"):
            await asyncio.to_thread(server.stop, mode)
            await asyncio.sleep(for_s)
            await asyncio.to_thread(server.start)
