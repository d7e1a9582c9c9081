"""A worker: what starts, how jobs flow, and in what order it stops.

    claimer -> buffer -> runners -> completer -> database

Beside that flow: the lease keeper says that we live, the listener wakes us, the rescuer takes over from
the dead, the aborter stops jobs on request, the pauser gives back those of paused queues, the scheduler
defers periodic tasks, the pruner drops old history, the tallier adds up what was done, and
progress is written.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forthwith.engine.aborter import Aborter
from forthwith.engine.buffer import Buffer
from forthwith.engine.claimer import Claimer
from forthwith.engine.completer import Completer
from forthwith.engine.departure import departure_of_worker
from forthwith.engine.lease_keeper import LeaseKeeper
from forthwith.engine.listener import Listener
from forthwith.engine.loop_watch import LoopWatch
from forthwith.engine.meter import Meter
from forthwith.engine.pauser import Pauser
from forthwith.engine.progress import Progress
from forthwith.engine.pruner import Pruner
from forthwith.engine.readings import Readings
from forthwith.engine.rescuer import Rescuer
from forthwith.engine.runner import Runners
from forthwith.engine.scheduler import Scheduler
from forthwith.engine.signals import stop_signals
from forthwith.engine.tallier import Tallier
from forthwith.engine.watch import Watch
from forthwith.errors import DatabaseUnavailable
from forthwith.outcome import Released

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
    from typing import Any

    from forthwith.engine.plan import TaskPlan
    from forthwith.engine.ports import JobStore, LeaseStore
    from forthwith.job import ClaimedJob

logger = logging.getLogger(__name__)

# What leaving may take beyond the grace period: four seconds all in all, whatever is stuck. Then the
# departure, if a signal has started its countdown, ends the process.
ABORT_PATIENCE_S = 1.5
CLAIM_PATIENCE_S = 0.5
FLUSHED_WITHIN_S = 3.0
TALLY_PATIENCE_S = 0.25
PROGRESS_PATIENCE_S = 0.25
CANCEL_PATIENCE_S = 0.25
LEFT_WITHIN_S = 3.6
CLOSE_PATIENCE_S = 0.5
RESTART_S = 5.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """How a worker works. All times are in seconds."""

    name: str | None = "worker"
    queues: Sequence[str] | None = None
    concurrency: int = 1
    wait: bool = True
    polling_interval_s: float = 5.0
    abort_polling_interval_s: float = 5.0
    grace_period_s: float | None = None
    listen_notify: bool = True
    install_signal_handlers: bool = True
    renew_interval_s: float = 1.0
    lease_s: float = 30.0
    sweep_interval_s: float = 1.0


class Worker:
    """Runs jobs until it is stopped or, with `wait=False`, has caught up."""

    def __init__(
        self,
        settings: WorkerSettings,
        *,
        store: JobStore,
        leases: LeaseStore,
        plan_of: Callable[[str], TaskPlan | None],
        defer_periodically: Callable[[], Awaitable[None]],
        on_claimed: Callable[[Sequence[ClaimedJob]], Awaitable[None]] | None = None,
    ) -> None:
        """Make one. `on_claimed` is awaited before claimed jobs may start; it must not raise."""
        self.settings = settings
        self._store = store
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._unrecorded = 0
        self._buffer = Buffer()
        self.meter = Meter()
        self._tallier = Tallier(store.tallies, self.meter)
        self._completer = Completer(store, on_freed=lambda: self._claimer.hint(), meter=self.meter)
        self._progress = Progress(
            store.progress,
            running=lambda: self._runners.claims,
            worker_id=lambda: self.worker_id,
        )
        self._lease = LeaseKeeper(
            leases,
            renew_interval_s=settings.renew_interval_s,
            lease_s=settings.lease_s,
            on_lost=lambda worker_id: self._in_loop(self._drop_lost, worker_id),
            is_idle=self._is_idle,
            running=lambda: self._runners.running,
        )
        self._runners = Runners(
            buffer=self._buffer,
            completer=self._completer,
            store=store,
            progress=self._progress,
            plan_of=plan_of,
            concurrency=settings.concurrency,
            holds_lease=self._lease.holds,  # asked before each job: no detour
            meter=self.meter,
        )
        self._pauser = Pauser(
            store,
            buffer=self._buffer,
            runners=self._runners,
            completer=self._completer,
            interval_s=settings.abort_polling_interval_s,
        )
        self._claimer = Claimer(
            store=store,
            buffer=self._buffer,
            runners=self._runners,
            completer=self._completer,
            lease=self._lease,
            pauser=self._pauser,
            queues=settings.queues,
            concurrency=settings.concurrency,
            wait=settings.wait,
            polling_interval_s=settings.polling_interval_s,
            notified=settings.listen_notify,
            on_caught_up=self.stop,
            meter=self.meter,
            on_claimed=on_claimed,
        )
        self._aborter = Aborter(store, self._runners, interval_s=settings.abort_polling_interval_s)
        self._rescuer = Rescuer(
            store,
            Watch(renew_interval_s=settings.renew_interval_s, lease_s=settings.lease_s),
            worker_id=lambda: self.worker_id,
            interval_s=settings.sweep_interval_s,
            notified=settings.listen_notify,
            on_doubt=self._lease.quicken,
            on_rescued=self._claimer.hint,
            meter=self.meter,
        )
        self._scheduler = Scheduler(defer_periodically)
        self._pruner = Pruner(store)

    @property
    def worker_id(self) -> int:
        """The worker's id in the database."""
        return self._lease.worker_id

    def readings(self) -> Readings:
        """Tell how things are. From any thread."""
        return Readings(
            worker_id=self.worker_id,
            holds_lease=self._lease.holds(self.worker_id),
            silent_s=self._lease.silent_s,
            is_stopping=self._stop.is_set(),
            running=self._runners.running,
            buffered=len(self._buffer),
            unrecorded=self._completer.backlog,
            reconnects=self._store.reconnects + self._lease.reconnects,
        )

    def stop(self) -> None:
        """Ask the worker to finish what runs and leave. From any thread."""
        self._in_loop(self._start_nothing_more)

    def hurry(self) -> None:
        """Ask it to abort what runs and leave now. From any thread."""
        self._in_loop(self._start_nothing_more)
        self._in_loop(self._hurry.set)

    async def run(self) -> int:
        """Work until stopped. Returns how many jobs did not stop, and were given back while they ran."""
        with self._handling_signals():
            working = asyncio.create_task(self._work(), name="worker")
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                self.stop()
                await self._left(working)
                raise

    @contextmanager
    def _handling_signals(self) -> Iterator[None]:
        if not self.settings.install_signal_handlers:
            yield
            return
        with (
            departure_of_worker(self.settings.grace_period_s, self._give_back) as departure,
            stop_signals(self.stop, self.hurry, departure),
        ):
            yield

    def _give_back(self, within_s: float) -> None:
        """Give back all jobs, from another thread: the event loop is blocked."""
        self._lease.stop_blocking(leaves_jobs=True, timeout_s=within_s)

    async def _left(self, working: asyncio.Task[int]) -> None:
        """Wait until the worker has left. Whoever cancels it once more is in a hurry."""
        while not working.done():
            try:
                await asyncio.shield(working)
            except asyncio.CancelledError:
                self.hurry()

    async def _work(self) -> int:
        if not await self._registered():
            return 0
        logger.info("Worker %d starts (%s)", self.worker_id, self._description())
        completing = asyncio.create_task(self._completer.run(), name="completer")
        claiming = asyncio.create_task(self._claimer.run(), name="claimer")
        beside = [
            asyncio.create_task(_kept_going(name, run), name=name)
            for name, run in self._beside().items()
        ]
        self._runners.start()
        watch = asyncio.create_task(self._stop.wait(), name="stop")
        essential = {completing, claiming, watch}
        try:
            await asyncio.wait(essential, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stuck = await self._leave(claiming, completing, [*beside, watch])
        for task in (claiming, completing):  # a bug must not look like a graceful stop
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error
        if self._unrecorded:  # nor must the loss of what was done
            raise DatabaseUnavailable(
                f"The worker has left, and {self._unrecorded} outcomes are not recorded: the database "
                "did not answer in time. Their jobs run again"
            )
        return stuck

    async def _registered(self) -> bool:
        """Register, unless we are told to stop meanwhile: the database may be slow to answer."""
        starting = asyncio.create_task(self._lease.start(), name="lease")
        watch = asyncio.create_task(self._stop.wait(), name="stop")
        await asyncio.wait({starting, watch}, return_when=asyncio.FIRST_COMPLETED)
        watch.cancel()
        if starting.done():
            await starting
            return True
        await self._lease.stop(leaves_jobs=True, timeout_s=CLAIM_PATIENCE_S)
        starting.cancel()
        await _within(CLOSE_PATIENCE_S, self._store.close())
        return False

    async def _leave(
        self,
        claiming: asyncio.Task[None],
        completing: asyncio.Task[None],
        beside: list[asyncio.Task[Any]],
    ) -> int:
        """Stop claiming, give back what has not started, finish what runs, flush, end the lease."""
        self._start_nothing_more()
        await self._grace()
        began_s = time.monotonic()
        stuck = await self._runners.abort_all(ABORT_PATIENCE_S)
        await _within(CLAIM_PATIENCE_S, claiming)  # what a last claim returns is released, too
        await _within(_left_s(began_s, FLUSHED_WITHIN_S), self._completer.finish())
        self._unrecorded = self._completer.backlog
        if self._unrecorded:
            logger.error(
                "%d outcomes could not be recorded before leaving; their jobs run again",
                self._unrecorded,
            )
        else:  # the database answers
            await _within(TALLY_PATIENCE_S, self._tallier.add())
            await _within(PROGRESS_PATIENCE_S, self._progress.clear())
        await _cancelled([*beside, claiming, completing], CANCEL_PATIENCE_S)
        await self._lease.stop(
            leaves_jobs=bool(self._unrecorded), timeout_s=_left_s(began_s, LEFT_WITHIN_S)
        )
        await _within(CLOSE_PATIENCE_S, self._store.close())
        logger.info("Worker %d has left", self.worker_id)
        return stuck

    def _start_nothing_more(self) -> None:
        """Claim no more, and give back what has not started: at once, before the rest of leaving."""
        self._stop.set()
        self._claimer.stop()
        self._completer.add_all([Released(job) for job in self._buffer.drain()])

    async def _grace(self) -> None:
        """Wait for what runs: as long as the grace period lasts and nobody hurries us."""
        finishing = asyncio.create_task(self._runners.finish(self.settings.grace_period_s))
        hurrying = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({finishing, hurrying}, return_when=asyncio.FIRST_COMPLETED)
        await _cancelled([finishing, hurrying], CANCEL_PATIENCE_S)

    def _beside(self) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
        beside = {
            "rescuer": self._rescuer.run,
            "aborter": self._aborter.run,
            "pauser": self._pauser.run,
            "scheduler": self._scheduler.run,
            "pruner": self._pruner.run,
            "tallier": self._tallier.run,
            "progress": self._progress.run,
            "loop watch": LoopWatch(self._runners.running_names, self._runners.run_code).run,
        }
        if self.settings.listen_notify:
            beside["listener"] = Listener(
                self._store,
                queues=self.settings.queues,
                on_job=self._claimer.hint,
                on_abort=self._aborter.hint,
                on_worker=self._rescuer.hint,
                on_pause=self._pauser.hint,
            ).run
        return beside

    def _is_idle(self) -> bool:
        """Whether we have no jobs, nor ask for any. Called from the lease keeper's thread."""
        has_jobs = self._runners.running or len(self._buffer) or self._completer.backlog
        return self._claimer.is_asleep and not has_jobs

    def _drop_lost(self, worker_id: int) -> None:
        """Our lease was lost: what it covered and has not started belongs to others now."""
        self.meter.lost_lease()
        jobs = self._buffer.drain()
        self._runners.forget(job for job in jobs if job.worker_id == worker_id)
        self._buffer.put(job for job in jobs if job.worker_id != worker_id)
        self._claimer.start_over()

    def _in_loop(self, call: Callable[..., object], *arguments: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    def _description(self) -> str:
        queues = "all queues" if self.settings.queues is None else ", ".join(self.settings.queues)
        return f"{queues}, concurrency {self.settings.concurrency}"


async def _kept_going(name: str, run: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run what works beside the flow of jobs; start it again if it fails in a way nobody foresaw."""
    while True:
        try:
            return await run()
        except Exception:
            logger.exception("The %s failed, starting it again in %g s", name, RESTART_S)
            await asyncio.sleep(RESTART_S)


async def _within(seconds: float, waiting: Awaitable[object]) -> None:
    """Wait no longer than that. Whatever goes on is left alone: cancelling it may take its time, too."""
    done, _ = await asyncio.wait({asyncio.ensure_future(waiting)}, timeout=seconds)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.debug("While leaving: %r", error)


def _left_s(began_s: float, within_s: float) -> float:
    """How much of a patience that began then is left; always a little."""
    return max(0.1, began_s + within_s - time.monotonic())


async def _cancelled(tasks: list[asyncio.Task[Any]], patience_s: float) -> None:
    for task in tasks:
        task.cancel()
    done, _ = await asyncio.wait(tasks, timeout=patience_s)
    for task in done:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("The %s failed: %r", task.get_name(), error)
