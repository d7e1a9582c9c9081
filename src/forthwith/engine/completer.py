"""Records outcomes: they gather while the last flush is in flight, then go in one transaction."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from forthwith.engine.backoff import Backoff
from forthwith.engine.meter import Meter
from forthwith.errors import DatabaseUnavailable, NotPermitted, SchemaError
from forthwith.outcome import Failed, Outcome, Released, Retry, failure_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from forthwith.engine.ports import Claim, JobStore, KeptResult
    from forthwith.job import ClaimedJob

logger = logging.getLogger(__name__)

FLUSH_MAX = 4000
# What passes by itself, or by what an operator does, whatever the outcomes are: they are kept until then.
MENDED_OUTSIDE = (DatabaseUnavailable, SchemaError, NotPermitted)


class Completer:
    """Writes outcomes as fast as the database takes them, and no timer is involved.

    An outcome stays here until the database has answered. After a failure the same batch is sent
    again: the fence makes the second time harmless, and history tells which were recorded by the
    first.
    """

    def __init__(
        self, store: JobStore, *, on_freed: Callable[[], None], meter: Meter | None = None
    ) -> None:
        self._store = store
        self._on_freed = on_freed
        self._meter = meter or Meter()
        self._waiting: list[Outcome] = []
        self._runs_s: list[float] = []  # of those
        self._in_flight: list[Outcome] = []
        self._crashed: dict[int, ClaimedJob] = {}
        self._results: dict[Claim, KeptResult | None] = {}
        self._more = asyncio.Event()
        self._backoff = Backoff()
        self._stopping = False
        self.flushed = asyncio.Event()
        """Pulsed at the end of each flush."""

    @property
    def backlog(self) -> int:
        """How many outcomes are not recorded yet."""
        return len(self._waiting) + len(self._in_flight)

    @property
    def crashed(self) -> list[ClaimedJob]:
        """The jobs among them whose worker has died before."""
        return list(self._crashed.values())

    def pending_ids(self) -> list[int]:
        """The jobs of those outcomes."""
        return [outcome.job.id for outcome in (*self._waiting, *self._in_flight)]

    def add(self, outcome: Outcome, run_s: float = 0.0) -> None:
        """Take an outcome in, whose run took so long; it goes with the next flush."""
        self._waiting.append(outcome)
        self._runs_s.append(run_s)
        if outcome.job.crashes:
            self._crashed[outcome.job.id] = outcome.job
        if len(self._waiting) == 1:
            self._more.set()

    def add_all(self, outcomes: Iterable[Outcome]) -> None:
        """Take several in."""
        for outcome in outcomes:
            self.add(outcome)

    def keep(self, job: ClaimedJob, result: KeptResult | None) -> None:
        """Keep this with the job's outcome, which comes next, and tell who waits for its end."""
        self._results[job.id, job.lease_token] = result

    def was_completed(self, job: ClaimedJob) -> None:
        """Take note that a job's own transaction has recorded its success."""
        if job.lock is not None or job.crashes:
            self._on_freed()

    async def settled(self) -> None:
        """Wait until the next flush has ended, or a moment if there is nothing to flush."""
        try:
            async with asyncio.timeout(0.05):
                await self.flushed.wait()
        except TimeoutError:
            pass

    async def finish(self) -> None:
        """Flush what is left, then let `run` end."""
        self._stopping = True
        self._more.set()
        while self.backlog:
            await self.settled()

    async def run(self) -> None:
        """Flush until finished.

        One flush at a time: a second connection was measured to make it slower
        (docs/decisions/0011-one-completing-connection.md).
        """
        while not (self._stopping and not self._waiting):
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                self._in_flight = self._waiting[:FLUSH_MAX]
                del self._waiting[:FLUSH_MAX]
                runs_s = self._runs_s[:FLUSH_MAX]
                del self._runs_s[:FLUSH_MAX]
                accepted = await self._flush(self._in_flight)
                self._meter.ended(self._in_flight, runs_s, accepted)
                if self._crashed:
                    self._forget_crashed(self._in_flight)
                if self._results:
                    self._forget_results(self._in_flight)
                self._in_flight = []
                self.flushed.set()
                self.flushed.clear()

    def _forget_crashed(self, recorded: list[Outcome]) -> None:
        for outcome in recorded:
            self._crashed.pop(outcome.job.id, None)

    def _forget_results(self, recorded: list[Outcome]) -> None:
        for outcome in recorded:
            self._results.pop((outcome.job.id, outcome.job.lease_token), None)

    async def _flush(self, outcomes: list[Outcome]) -> set[int]:
        """Return the ids of the jobs whose outcomes were accepted."""
        try:
            accepted = await self._persist(outcomes)
        except Exception as error:
            return await self._flush_halves(outcomes, error)
        self._report(outcomes, accepted)
        return accepted

    async def _persist(self, outcomes: list[Outcome]) -> set[int]:
        """Send until answered. The only way out but success is an error that no retry helps."""
        repeated = False
        while True:
            try:
                accepted = await self._store.complete(
                    outcomes, repeated=repeated, results=self._results
                )
            except MENDED_OUTSIDE as error:
                wait_s = self._backoff.next_s()
                logger.log(
                    self._backoff.log_level(error),
                    "Could not record %d outcomes, keeping them and trying again in %.2f s: %s",
                    len(outcomes),
                    wait_s,
                    error,
                )
                repeated = True
                await asyncio.sleep(wait_s)
            else:
                self._backoff.reset()
                return accepted

    async def _flush_halves(self, outcomes: list[Outcome], error: Exception) -> set[int]:
        """Find what the database refuses: the others must not suffer, nor wait for each of them."""
        if len(outcomes) > 1:
            middle = len(outcomes) // 2
            first = await self._flush(outcomes[:middle])
            return first | await self._flush(outcomes[middle:])
        (outcome,) = outcomes
        logger.error("The outcome of job %d could not be recorded: %r", outcome.job.id, error)
        if isinstance(outcome, Failed):
            raise error  # it must not be forgotten: the worker leaves, and the job is rescued
        failed = Failed(outcome.job, failure_of(error, "failed"))
        self._in_flight = [failed if each is outcome else each for each in self._in_flight]
        return await self._flush([failed])

    def _report(self, outcomes: list[Outcome], accepted: set[int]) -> None:
        freed = False
        for outcome in outcomes:
            if outcome.job.id not in accepted:
                logger.warning(
                    "LeaseLost: job %d (%s) was taken over while it ran here; this outcome (%s) "
                    "changes nothing",
                    outcome.job.id,
                    outcome.job.task,
                    type(outcome).__name__,
                )
            elif (
                outcome.job.lock is not None
                or outcome.job.crashes  # the next suspect may come
                or isinstance(outcome, Retry | Released)
            ):
                freed = True
        if freed:
            self._on_freed()
