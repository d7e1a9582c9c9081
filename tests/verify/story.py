"""Tells histories by hand: what happened, step by step, each a tenth of a second after the last."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from forthwith.verify.history import (
    Call,
    Change,
    Effect,
    Fault,
    FinalJob,
    History,
    Lease,
    Run,
    WorkerLife,
)

STEP_S = 0.1
LEASE_S = 3.0
GRACE_S = 5.0
FOREVER_S = 10_000.0


@dataclass(slots=True)
class Job:
    """A job, and its row as it is now."""

    id: int
    key: str
    task: str
    status: str = "todo"
    token: int = 0
    worker_id: int | None = None
    attempts: int = 0
    crashes: int = 0
    crashed_attempts: int = 0
    is_live: bool = True
    is_kept: bool = True
    """In history, at the end."""


class Story:
    """Tells what happened; `history` is what is known of it. Workers 1, 2, ... are called w1, w2, ..."""

    def __init__(self, workers: int = 2) -> None:
        self.now_s = 100.0
        self.jobs: list[Job] = []
        self.told = History(lease_s=LEASE_S, settled_s=1.0, settle_limit_s=30.0)
        self.names: dict[int, str] = {}
        self._seq = 0
        self._xid = 0
        for number in range(1, workers + 1):
            self.start(f"w{number}")

    def wait(self, seconds: float) -> None:
        self.now_s += seconds

    # -- workers and faults -------------------------------------------------------------------------

    def start(self, name: str, lease_until_s: float = FOREVER_S) -> int:
        """Start a worker process; return the id of its registration."""
        self.told.workers.append(
            WorkerLife(name, 1000 + len(self.told.workers), self._tick(), grace_s=GRACE_S)
        )
        return self.register(name, lease_until_s)

    def register(self, name: str, lease_until_s: float = FOREVER_S) -> int:
        worker_id = len(self.names) + 1
        self.names[worker_id] = name
        self.told.leases.append(Lease(worker_id, name, ((self._tick(), lease_until_s),)))
        return worker_id

    def worker(self, name: str, **changes: Any) -> None:
        """Change what is known of a worker process."""
        self.told.workers = [
            replace(worker, **changes) if worker.name == name else worker
            for worker in self.told.workers
        ]

    def ask_to_stop(self, name: str, grace_s: float = GRACE_S) -> None:
        self.worker(name, asked_to_stop_s=self._tick(), grace_s=grace_s)

    def hurry(self, name: str) -> None:
        self.worker(name, hurried_s=self._tick())

    def ends(self, name: str, exit_status: int = 0) -> None:
        self.worker(name, ended_s=self._tick(), exit_status=exit_status)

    def kill(self, name: str) -> None:
        self.fault("kill", name)
        self.ends(name, -9)

    def fault(self, kind: str, target: str, for_s: float = 0.0, hits: int = 1) -> None:
        began_s = self._tick()
        self.now_s += for_s
        self.told.faults.append(Fault(kind, target, began_s, self.now_s, hits))

    # -- producers ----------------------------------------------------------------------------------

    def defer(self, key: str | None = None, result: str = "ok", **options: Any) -> Job:
        """Defer a job. `result="unknown"`: it came about, and its answer was lost."""
        key = key or f"key {len(self.jobs) + 1}"
        job = Job(len(self.jobs) + 1, key, options.pop("task", "work"))
        self.jobs.append(job)
        invoked_s = self._tick()
        self._changes(job, None, "todo", actor="lab", token_after=0)
        self.call(
            key,
            result,
            invoked_s,
            job_id=job.id if result == "ok" else None,
            task=job.task,
            **options,
        )
        return job

    def call(self, key: str, result: str, invoked_s: float | None = None, **options: Any) -> None:
        """Note a call of defer, and its answer."""
        asked_s = self._tick() if invoked_s is None else invoked_s
        self.told.calls.append(Call("defer", key, result, asked_s, self._tick(), **options))  # type: ignore[arg-type]

    def cancel(self, job: Job) -> None:
        asked_s = self._tick()
        self._finish(job, "lab", "cancelled", spent=0)
        self._cancelled(job, asked_s)

    def ask_to_abort(self, job: Job) -> None:
        self._cancelled(job, self._tick())

    # -- the queue ----------------------------------------------------------------------------------

    def claim(self, job: Job, worker_id: int = 1, raises: int = 1) -> int:
        """Claim it; return the token. `raises`: by how much the token is raised."""
        before, token, held_by = job.status, job.token, job.worker_id
        job.status, job.worker_id = "doing", worker_id
        job.token += raises
        self._changes(
            job, before, "doing", actor=self.names[worker_id],
            token_before=token, token_after=job.token, worker_before=held_by, worker_after=worker_id,
        )  # fmt: skip
        return job.token

    def complete(self, job: Job, by: str = "w1", status: str = "succeeded", spent: int = 1) -> None:
        self._finish(job, by, status, spent)

    def retry(self, job: Job, by: str = "w1") -> None:
        job.attempts += 1
        self._give_back(job, by)

    def release(self, job: Job, by: str = "w1", raises: int = 1) -> None:
        self._give_back(job, by, raises)

    def rescue(self, job: Job, by: str = "w2", spent: int = 1) -> None:
        job.attempts += spent
        job.crashes += 1
        job.crashed_attempts += 1
        self._give_back(job, by)

    def rescue_for_good(self, job: Job, by: str = "w2", status: str = "failed") -> None:
        """The last crash: the job fails as poison."""
        self._finish(job, by, status, spent=1, crashed=1)

    def vanish(self, job: Job, by: str = "w1") -> None:
        """It leaves the live table, and history does not get it."""
        self._leave(job, by)
        job.is_kept = False

    # -- tasks --------------------------------------------------------------------------------------

    def begin(self, job: Job, worker: str = "w1", token: int | None = None) -> Run:
        [pid] = [life.pid for life in self.told.workers if life.name == worker]
        token = job.token if token is None else token
        run = Run(job.id, job.key, job.task, token, worker, pid, self._tick())
        self.told.runs.append(run)
        return run

    def end(self, run: Run, *, effect: bool = True, error: str | None = None) -> None:
        ended = replace(run, ended_s=self._tick(), has_effect=effect, error=error)
        self.told.runs[self.told.runs.index(run)] = ended

    def run(
        self, job: Job, worker: str = "w1", *, effect: bool = True, error: str | None = None
    ) -> None:
        self.end(self.begin(job, worker), effect=effect, error=error)

    def effect(self, job: Job, token: int | None = None) -> None:
        """A row that is written in the transaction that completes the job."""
        self.told.effects.append(Effect(job.id, job.token if token is None else token, job.key))

    def success(self, job: Job, worker_id: int = 1) -> None:
        """Claim, run and complete it."""
        self.claim(job, worker_id)
        self.run(job, self.names[worker_id])
        self.complete(job, self.names[worker_id])

    # -- in the end ---------------------------------------------------------------------------------

    def history(self) -> History:
        self.told.gathered_s = self._tick()
        self.told.jobs = [
            FinalJob(
                job.id, job.key, job.task, job.status, job.attempts, job.crashes, job.token,
                job.crashed_attempts,
            )
            for job in self.jobs
            if job.is_kept
        ]  # fmt: skip
        return self.told

    def _tick(self) -> float:
        self.now_s += STEP_S
        return self.now_s

    def _cancelled(self, job: Job, asked_s: float) -> None:
        self.told.calls.append(Call("cancel", "", "ok", asked_s, self._tick(), job.id))

    def _give_back(self, job: Job, by: str, raises: int = 1) -> None:
        before, token, held_by = job.status, job.token, job.worker_id
        job.status, job.worker_id = "todo", None
        job.token += raises
        self._changes(
            job, before, "todo", actor=by,
            token_before=token, token_after=job.token, worker_before=held_by,
        )  # fmt: skip

    def _leave(self, job: Job, by: str) -> None:
        if job.is_live:
            self._changes(
                job, "doing" if job.worker_id else "todo", None, actor=by,
                token_before=job.token, worker_before=job.worker_id,
            )  # fmt: skip
        job.is_live = False

    def _finish(self, job: Job, by: str, status: str, spent: int, crashed: int = 0) -> None:
        self._leave(job, by)
        job.attempts += spent
        job.crashes += crashed
        job.crashed_attempts += crashed
        job.status = status
        self._changes(
            job, None, status, actor=by, is_archive=True, xid=self._xid,
            token_after=job.token, worker_after=job.worker_id,
        )  # fmt: skip

    def _changes(
        self,
        job: Job,
        before: str | None,
        after: str | None,
        *,
        actor: str,
        is_archive: bool = False,
        xid: int | None = None,
        **details: Any,
    ) -> None:
        self._seq += 1
        if xid is None:
            self._xid += 1
        self.told.changes.append(
            Change(
                self._seq, self._tick(), self._xid if xid is None else xid, actor, is_archive, job.id,
                before, after, attempts=job.attempts, crashes=job.crashes, **details,
            )
        )  # fmt: skip
