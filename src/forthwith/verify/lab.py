"""The lab: a queue under observation, worker processes, and what is done to them.

async with open_lab(url, home) as lab:
    worker = lab.start_worker(concurrency=4)
    await lab.defer("work", "a key", run_s=2.0)
    worker.kill()
    lab.start_worker()
    verdict = await lab.settle(within_s=30)
    assert verdict.ok, verdict.text()
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from forthwith.errors import DatabaseUnavailable
from forthwith.verify import record, tasks
from forthwith.verify.checkers import Verdict, check
from forthwith.verify.diary import Diary
from forthwith.verify.history import Call, Fault, History, Result
from forthwith.verify.system import FORTHWITH, System
from forthwith.verify.worker_process import LabWorker, WorkerSetup

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from pathlib import Path

    import forthwith
    from forthwith.database.embedded import EmbeddedServer
    from forthwith.verify.history import Run
    from forthwith.verify.proxy import Proxy
    from forthwith.verify.worker_process import Launch

POLL_S = 0.05
STOP_S = 15.0


@dataclass(frozen=True, slots=True)
class LabSettings:
    """How the lab's workers work. Times are in seconds."""

    lease_s: float = 3.0
    renew_s: float = 0.3
    grace_s: float = 5.0
    worker_program: str | None = None
    """The module to run as a worker; None: the system's."""
    launch: Launch | None = None
    """How to start a worker's process; None: as a new Python."""


@dataclass(slots=True)
class OngoingFault:
    """A fault that is being done."""

    hits: int = 1
    """How often it has really struck: set it to 0 if it did not."""


@dataclass(slots=True)
class Lab:
    """A queue under observation. Made by `open_lab`."""

    url: str
    """Of the database, direct."""
    schema: str
    home: Path
    settings: LabSettings
    app: forthwith.App
    """The producers' app."""
    proxy: Proxy | None = None
    server: EmbeddedServer | None = None
    """The server, if it is the lab's own, to be stopped and killed."""
    workers: list[LabWorker] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    _faults: list[Fault] = field(default_factory=list)
    system: System = FORTHWITH
    _diary: Diary | None = None
    _runs: record.Runs = field(init=False)

    def __post_init__(self) -> None:
        """Begin to read the diaries."""
        self._runs = record.Runs(self.home)

    @property
    def proxied_url(self) -> str:
        """The URL of the database through the proxy."""
        return self.required_proxy.conninfo

    @property
    def required_proxy(self) -> Proxy:
        """The proxy, which must be there."""
        assert self.proxy is not None, "the lab was opened without a proxy"
        return self.proxy

    def start_worker(
        self,
        *,
        name: str | None = None,
        proxied: bool = False,
        environment: Mapping[str, str] | None = None,
        program: str | None = None,
        **options: Any,
    ) -> LabWorker:
        """Start a worker process with these options of run_worker; it is not ready yet.

        `proxied` connects it through the proxy. `program` is the module to run instead of the lab's.
        """
        name = name or f"worker-{len(self.workers) + 1}"
        url = self.proxied_url if proxied else self.url
        defaults = {
            "stalled_worker_timeout": self.settings.lease_s,
            "update_heartbeat_interval": self.settings.renew_s,
            "shutdown_graceful_timeout": self.settings.grace_s,
            "concurrency": 4,
        }
        setup = WorkerSetup(
            url=make_conninfo(url, application_name=name),
            schema=self.schema,
            home=self.home,
            options={**defaults, **options},
            environment=dict(environment or {}),
            program=program or self.settings.worker_program or self.system.worker_program,
            launch=self.settings.launch,
        )
        worker = LabWorker(name, setup)
        self.workers.append(worker)
        return worker

    async def wait_ready(self, *workers: LabWorker, deadline_s: float = 30.0) -> None:
        """Wait until these workers, or all, are registered. Raises `TimeoutError`."""
        names = {worker.name for worker in workers or self.workers if worker.exit_status is None}
        query = self._query(self.system.ready)
        async with asyncio.timeout(deadline_s), await self.connect() as connection:
            while True:
                cursor = await connection.execute(query, [list(names)])
                if await cursor.fetchone() == (len(names),):
                    return
                await asyncio.sleep(POLL_S)

    def make_app(self, url: str) -> forthwith.App:
        """Return another app for producers, which reaches the same queue at this URL."""
        assert self._diary is not None, "made by open_lab"
        return self.system.make_app(url, self.schema, self._diary, self.home)  # type: ignore[no-any-return]

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """Open a connection of the lab's own, direct and in autocommit mode."""
        return await psycopg.AsyncConnection.connect(self.url, autocommit=True)

    async def defer(
        self,
        task: str,
        key: str,
        *,
        queue: str = "default",
        lock: str | None = None,
        queueing_lock: str | None = None,
        priority: int = 0,
        schedule_in_s: float | None = None,
        app: forthwith.App | None = None,
        **arguments: Any,
    ) -> int:
        """Defer a job and note what was asked and answered. Returns its id.

        `app` defers in place of the lab's own. Raises what a defer raises.
        """
        options: dict[str, Any] = {
            "queue": queue,
            "lock": lock,
            "queueing_lock": queueing_lock,
            "priority": priority,
        }
        schedule_in = None if schedule_in_s is None else {"seconds": schedule_in_s}
        deferrer = (app or self.app).configure_task(task, **options, schedule_in=schedule_in)
        invoked_s = time.monotonic()
        job_id: int | None = None
        result: Result = "unknown"
        try:
            job_id = await deferrer.defer_async(key=key, **arguments)
            result = "ok"
        except DatabaseUnavailable:
            raise
        except Exception:
            result = "fail"
            raise
        finally:
            self.calls.append(
                Call(
                    "defer",
                    key,
                    result,
                    invoked_s,
                    time.monotonic(),
                    job_id,
                    task,
                    is_scheduled=schedule_in_s is not None,
                    **options,
                )
            )
        return job_id

    async def defer_batch(
        self,
        task: str,
        jobs: Sequence[Mapping[str, Any]],
        *,
        queue: str = "default",
        lock: str | None = None,
        priority: int = 0,
        app: forthwith.App | None = None,
    ) -> list[int]:
        """Defer a job for each of these arguments, which include the key. Returns their ids."""
        options: dict[str, Any] = {"queue": queue, "lock": lock, "priority": priority}
        deferrer = (app or self.app).configure_task(task, **options)
        invoked_s = time.monotonic()
        ids: Sequence[int | None] = [None] * len(jobs)
        result: Result = "unknown"
        try:
            ids = await deferrer.batch_defer_async(*map(dict, jobs))
            result = "ok"
        finally:
            returned_s = time.monotonic()
            # Within a batch there is no before and after: each job's call spans the whole.
            self.calls += [
                Call(
                    "defer",
                    job["key"],
                    result,
                    invoked_s,
                    returned_s,
                    job_id,
                    task,
                    **options,
                )
                for job, job_id in zip(jobs, ids, strict=True)
            ]
        return [job_id for job_id in ids if job_id is not None]

    async def cancel(self, job_id: int, *, abort: bool = False) -> bool:
        """Cancel a job, or ask for its abort. Returns whether there was anything to cancel."""
        invoked_s = time.monotonic()
        result: Result = "unknown"
        try:
            done = await self.app.job_manager.cancel_job_by_id_async(job_id, abort=abort)
            result = "ok" if done else "fail"
        finally:
            self.calls.append(Call("cancel", "", result, invoked_s, time.monotonic(), job_id))
        return done

    @contextmanager
    def fault(self, kind: str, target: str) -> Iterator[OngoingFault]:
        """Note that this fault is done in the block. `target`: a worker's name, `database`, or `*`."""
        ongoing = OngoingFault()
        began_s = time.monotonic()
        try:
            yield ongoing
        finally:
            self._faults.append(Fault(kind, target, began_s, time.monotonic(), ongoing.hits))

    def open_gate(self, key: str, run: int = 1) -> None:
        """Let the run of that number of `gate` and its like go on."""
        tasks.open_gate(self.home, key, run)

    def starts(self, job_id: int | None = None, key: str | None = None) -> list[Run]:
        """Return the runs so far, of one job or key or of all, in the order of their starts."""
        return [
            run
            for run in self._runs.all()
            if job_id in (None, run.job_id) and key in (None, run.key)
        ]

    @property
    def faults(self) -> list[Fault]:
        """The faults so far, those done to worker processes included."""
        return [*self._faults, *(fault for worker in self.workers for fault in worker.faults)]

    async def unfinished(self) -> int:
        """Return how many live jobs there are. Raises psycopg's errors."""
        async with await self.connect() as connection:
            cursor = await connection.execute(self._query(self.system.unfinished))
            [(count,)] = await cursor.fetchall()
            return int(count)

    async def settle(self, *, within_s: float = 30.0, seed: int | None = None) -> Verdict:
        """Wait until no job is left, stop the workers, and judge the history."""
        return check(await self.conclude(within_s=within_s, seed=seed))

    async def conclude(self, *, within_s: float, seed: int | None = None) -> History:
        """Wait until no job is left, or `within_s` seconds; stop the workers; return the history."""
        settled_s = await self.drain(within_s)
        await self.stop_workers()
        return await self.gather(settled_s=settled_s, within_s=within_s, seed=seed)

    async def drain(self, within_s: float) -> float | None:
        """Wait until no job is left. Returns how long it took; None: there still are after `within_s`."""
        began_s = time.monotonic()
        while time.monotonic() - began_s < within_s:
            try:
                if await self.unfinished() == 0:
                    return time.monotonic() - began_s
            except psycopg.OperationalError:
                pass  # the database is not back yet
            await asyncio.sleep(POLL_S)
        return None

    async def gather(
        self, *, settled_s: float | None, within_s: float, seed: int | None = None
    ) -> History:
        """Put together the history so far, from the diaries and the database."""
        async with await self.connect() as connection:
            changes, leases = await record.audited(connection, self.schema)
            return History(
                seed=seed,
                lease_s=self.settings.lease_s,
                calls=list(self.calls),
                runs=self._runs.all(),
                changes=changes,
                leases=leases,
                faults=self.faults,
                workers=[worker.life for worker in self.workers],
                jobs=await record.jobs(connection, self.schema, self.system.jobs),
                effects=await record.effects(connection, self.schema),
                settled_s=settled_s,
                settle_limit_s=within_s,
                gathered_s=time.monotonic(),
            )

    def _query(self, text: LiteralString) -> sql.Composed:
        return sql.SQL(text).format(schema=sql.Identifier(self.schema))

    async def stop_workers(self) -> None:
        """Ask every worker to stop, and wait for it. Those that do not are killed."""
        alive = [worker for worker in self.workers if worker.exit_status is None]
        for worker in alive:
            worker.thaw()
            worker.terminate()
        for worker in alive:
            try:
                await worker.wait_exit(self.settings.grace_s + STOP_S)
            except TimeoutError:
                worker.kill()


@asynccontextmanager
async def open_lab(
    url: str,
    home: Path,
    *,
    schema: str = "forthwith",
    settings: LabSettings | None = None,
    proxy: Proxy | None = None,
    server: EmbeddedServer | None = None,
    system: System = FORTHWITH,
) -> AsyncIterator[Lab]:
    """Put the queue of that database and schema under observation; install it if need be.

    `home` is an empty directory for diaries, logs and gates. `proxy` leads to the same database, and
    `server` is it, if it may be stopped. At the end of the block every worker process is dead.
    """
    for name in ("diaries", "logs", "gates"):
        (home / name).mkdir(parents=True, exist_ok=True)
    url = make_conninfo(url, application_name="lab")
    diary = Diary(home / "diaries" / "lab.jsonl")
    app = system.make_app(url, schema, diary, home)
    try:
        async with app.open_async():
            await system.migrate(app)
            lab = Lab(
                url,
                schema,
                home,
                settings or LabSettings(),
                app,
                proxy,
                server,
                system=system,
                _diary=diary,
            )
            async with await lab.connect() as connection:
                audit = system.audit_sql(schema, lab.settings.lease_s)
                await connection.execute(audit.encode())
            try:
                yield lab
            finally:
                for worker in lab.workers:
                    worker.kill()
    finally:
        diary.close()
