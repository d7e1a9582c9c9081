"""A campaign: work and faults at once, then quiet, then the verdict. `forthwith verify` runs one."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from forthwith.database.database import Database
from forthwith.database.embedded import open_embedded
from forthwith.database.failures import translated
from forthwith.verify.checkers import Verdict, check
from forthwith.verify.injector import Injector
from forthwith.verify.lab import Lab, LabSettings, open_lab
from forthwith.verify.plan import draw_faults
from forthwith.verify.proxy import Proxy
from forthwith.verify.recovery import recoveries
from forthwith.verify.workload import Producer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from forthwith.verify.plan import FaultKind, PlannedFault
    from forthwith.verify.recovery import Recovery
    from forthwith.verify.worker_process import LabWorker

LEASE_S = 4.0
RENEW_S = 0.5
GRACE_S = 2.0
SETTLE_S = 60.0
CONCURRENCIES = (8, 8, 2)
PRODUCER_RATE = 25.0
STRUCK_SHARE_MIN = 0.5
REPORT_INTERVAL_S = 0.25
SEED_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class CampaignSettings:
    """What to do, for how long, and where."""

    seed: int
    duration_s: float
    kinds: Sequence[FaultKind]
    home: Path
    """A directory for the logs, diaries and the history; it must not exist yet."""
    url: str | None = None
    """The user's own database; None: an embedded server of the lab's own."""
    workers: int = 3

    @property
    def schema(self) -> str:
        """The schema of the campaign's own."""
        return f"forthwith_verify_{self.seed}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a campaign is."""

    elapsed_s: float
    deferred: int
    waiting: int | None
    """Live jobs; None while the database does not answer."""
    faults: Counter[str]
    workers: int
    """Processes that run now."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a campaign."""

    settings: CampaignSettings
    verdict: Verdict
    planned: Counter[str]
    struck: Counter[str]
    recoveries: list[Recovery]

    @property
    def shortfall(self) -> str | None:
        """Why the faults that happened prove too little; None: they are enough."""
        missing = [str(kind) for kind in self.settings.kinds if not self.struck[kind]]
        if missing:
            return f"no fault of these kinds struck: {', '.join(missing)}; run it for longer"
        if self.struck.total() < STRUCK_SHARE_MIN * self.planned.total():
            return f"only {self.struck.total()} of {self.planned.total()} planned faults struck"
        return None

    @property
    def ok(self) -> bool:
        """Whether everything holds, and enough was done to show it."""
        return self.verdict.ok and self.shortfall is None


def draw_seed() -> int:
    """Return a seed at random."""
    return random.randrange(SEED_MAX)


async def run_campaign(
    settings: CampaignSettings, watch: Callable[[Progress], None] = lambda _progress: None
) -> Result:
    """Run a campaign to its end; the history is saved in `home`. `watch` is told how it goes.

    Raises `DatabaseUnavailable` and `ConnectorException` for a database that cannot be used. When
    it is cancelled it kills its workers and removes what it has put into the database.
    """
    async with _own_or_given(settings) as lab:
        injector = Injector(lab, settings.workers, _starter(lab))
        faults = draw_faults(
            settings.seed,
            settings.kinds,
            duration_s=settings.duration_s,
            workers=settings.workers,
            lease_s=LEASE_S,
        )
        async with _stopped_at_end(asyncio.create_task(_report(lab, watch))):
            await _work_under_faults(lab, injector, faults, settings)
            async with _stopped_at_end(asyncio.create_task(injector.supervise())):
                settled_s = await lab.drain(SETTLE_S)
        await lab.stop_workers()
        history = await lab.gather(settled_s=settled_s, within_s=SETTLE_S, seed=settings.seed)
        history.save(settings.home / "history.json")
    return Result(
        settings,
        check(history),
        Counter(str(fault.kind) for fault in faults),
        Counter(fault.kind for fault in history.faults if fault.hits),
        recoveries(history),
    )


async def _work_under_faults(
    lab: Lab, injector: Injector, faults: list[PlannedFault], settings: CampaignSettings
) -> None:
    """Let producers and faults run side by side for the campaign's duration."""
    stop = asyncio.Event()
    began_s = time.monotonic()
    injector.start()
    await lab.wait_ready()
    proxied = lab.make_app(lab.proxied_url)
    async with proxied.open_async(), _stopped_at_end(asyncio.create_task(injector.supervise())):
        producers = [
            Producer(lab, app, f"producer-{number}", settings.seed, PRODUCER_RATE)
            for number, app in enumerate((lab.app, lab.app, proxied), 1)
        ]
        async with asyncio.TaskGroup() as group:
            producing = [group.create_task(producer.run(stop)) for producer in producers]
            await injector.run(faults)
            await asyncio.sleep(max(0.0, began_s + settings.duration_s - time.monotonic()))
            stop.set()
            _, waiting = await asyncio.wait(producing, timeout=SETTLE_S)
            assert not waiting, f"{len(waiting)} producers never got an answer: {waiting}"


def _starter(lab: Lab) -> Callable[[], LabWorker]:
    def start() -> LabWorker:
        number = len(lab.workers)
        return lab.start_worker(
            proxied=True,
            concurrency=CONCURRENCIES[number % len(CONCURRENCIES)],
            abort_job_polling_interval=1.0,
        )

    return start


async def _report(lab: Lab, watch: Callable[[Progress], None]) -> None:
    began_s = time.monotonic()
    while True:
        waiting: int | None = None
        with suppress(psycopg.Error, OSError):
            waiting = await lab.unfinished()
        watch(
            Progress(
                time.monotonic() - began_s,
                sum(call.action == "defer" and call.result == "ok" for call in lab.calls),
                waiting,
                Counter(fault.kind for fault in lab.faults if fault.hits),
                sum(worker.exit_status is None for worker in lab.workers),
            )
        )
        await asyncio.sleep(REPORT_INTERVAL_S)


@asynccontextmanager
async def _own_or_given(settings: CampaignSettings) -> AsyncIterator[Lab]:
    """Open the lab on a server of its own, or in a schema of its own on the user's database."""
    server = None
    if settings.url is None:
        server = await asyncio.to_thread(open_embedded, settings.home / "server", linger_s=0.1)
    url = Database(settings.url).conninfo() if server is None else server.url
    lab_settings = LabSettings(lease_s=LEASE_S, renew_s=RENEW_S, grace_s=GRACE_S)
    try:
        with Proxy(url) as proxy:
            async with (
                nullcontext() if server else _schema_of_its_own(url, settings.schema),
                open_lab(
                    url,
                    settings.home,
                    schema=settings.schema,
                    settings=lab_settings,
                    proxy=proxy,
                    server=server,
                ) as lab,
            ):
                yield lab
    finally:
        if server is not None:
            await asyncio.to_thread(server.remove)


@asynccontextmanager
async def _schema_of_its_own(url: str, schema: str) -> AsyncIterator[None]:
    await _drop_schema(url, schema)  # what an interrupted campaign of the same seed has left
    try:
        yield
    finally:
        await _drop_schema(url, schema)


async def _drop_schema(url: str, schema: str) -> None:
    drop = sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema))
    with translated():
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute(drop)


@asynccontextmanager
async def _stopped_at_end(task: asyncio.Task[None]) -> AsyncIterator[None]:
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
