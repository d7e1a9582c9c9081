"""Workers that freeze, die, lose their sessions and come back, against a model and a clock of its own.

The SQL and the `Watch` are the real ones. Time is not: a step of time moves the watches' monotonic
clock, and what is stored back, which is the same to every comparison. When a worker was last seen is
not moved: a watch asks only whether it has changed.
"""

from __future__ import annotations

import asyncio
import datetime
import os
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from forthwith.engine.ports import QUEUE_START, Share
from forthwith.engine.watch import Look, Sighting, Watch
from forthwith.outcome import Aborted, Failed, Succeeded
from tests.store.virtual_worker import (
    FAILURE,
    VirtualWorker,
    cancel,
    defer,
    new_job,
    run,
    take_over,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from forthwith.engine.ports import Rescued
    from forthwith.engine.watch import Gone
    from forthwith.job import ClaimedJob

WORKERS = 3
EXAMPLES = int(os.environ.get("FORTHWITH_TEST_EXAMPLES", "20"))
SOAK_EXAMPLES = int(os.environ.get("FORTHWITH_SOAK_EXAMPLES", "1000"))
LEASE_S = 8.0
RENEW_INTERVAL_S = 1.0
MISSING_AFTER_S = 1.5
EXPIRED_AFTER_S = 5.0
SWEEP_S = 1.0
LATER_S = 1000.0
ALWAYS = float("-inf")
FAR_S = 1e6
REAL_TIME_MAX_S = 100.0
"""What an example may take by the real clock, which runs beside ours."""

LOCKS = st.sampled_from([None, None, "A", "B"])
KEYS = st.sampled_from([None, None, None, "K", "L"])
PICK = st.integers(0, 1000)
WORKER = st.integers(0, WORKERS - 1)
BETWEEN = st.sampled_from(["nothing", "renews", "only renews", "takes its lock"])
TABLES = ("job", "finished_job", "failed_attempt", "queueing_lock", "worker")
EMPTY = "; ".join(f"delete from forthwith.{table}" for table in TABLES)  # noqa: S608
ELAPSE = """
with expiring as (
    update forthwith.worker set lease_expires_at = lease_expires_at - make_interval(secs => %(s)s)
)
update forthwith.job set scheduled_at = scheduled_at - make_interval(secs => %(s)s)
where state = 'scheduled'
"""
LIVE = "select id, worker_id, lease_token, attempts, crashes, lock from forthwith.job order by id"
FINISHED = "select id, status::text, lease_token, attempts, crashes from forthwith.finished_job"
KEYS_HELD = "select key, job_id from forthwith.queueing_lock"
CRASHES = "select job_id, count(*) from forthwith.failed_attempt where kind = 'crashed' group by 1"


@dataclass(frozen=True)
class Known:
    """What the model knows of a live job."""

    id: int
    lock: str | None
    key: str | None
    due_at_s: float
    """By the database's clock."""
    was_due: bool
    """Perhaps at least: a clock that jumps back makes nothing wait that was ready."""
    crashes_max: int
    token: int = 0
    claim: ClaimedJob | None = None
    owner_id: int | None = None
    attempts: int = 0
    crashes: int = 0
    is_suspect: bool = False
    is_started: bool = False
    abort_requested: bool = False
    is_pinned: bool = False

    @property
    def fate(self) -> str:
        """What becomes of it if its worker dies."""
        if self.crashes_max == 1 and not self.is_started:
            return "released"
        if self.abort_requested:
            return "aborted"
        return "failed" if self.crashes + 1 >= self.crashes_max else "rescued"


@dataclass
class Worker:
    """A worker's process, as it is and as it appears in the database."""

    session: psycopg.AsyncConnection[Any]
    """It holds the advisory lock."""
    watch: Watch
    id: int = 0
    lives: bool = True
    is_frozen: bool = False
    has_session: bool = True
    connection: int = 1
    """Of its rescuer; another one after it broke."""

    @property
    def acts(self) -> bool:
        return self.lives and not self.is_frozen


@dataclass
class Row:
    """A row of the table of workers."""

    renewed_s: float
    process: Worker
    has_ended: bool = False


@dataclass(frozen=True)
class Step:
    """Something that may happen: a method of the machine, how often, and with what."""

    name: str
    weight: int = field(repr=False)
    arguments: dict[str, st.SearchStrategy[Any]] = field(default_factory=dict, repr=False)


STEPS = [
    Step(
        "defer",
        3,
        {
            "lock": LOCKS,
            "key": KEYS,
            "later": st.sampled_from([False, False, True]),
            "crashes_max": st.sampled_from([1, 2, 3]),
            "priority": st.integers(-1, 1),
            "count": st.integers(1, 3),
        },
    ),
    Step("look_and_claim", 4, {"number": WORKER, "size": st.integers(1, 5)}),
    Step("claim_suspect", 3, {"number": WORKER}),
    Step("claim_under_an_id_that_is_over", 2, {"pick": PICK}),
    Step(
        "end",
        2,
        {
            "pick": PICK,
            "how": st.sampled_from(["succeed", "fail", "abort"]),
            "twice": st.booleans(),
        },
    ),
    Step("retry", 1, {"pick": PICK, "later": st.booleans()}),
    Step("release", 1, {"pick": PICK}),
    Step("mark_started", 1, {"pick": PICK}),
    Step(
        "come_too_late",
        4,
        {
            "pick": PICK,
            "how": st.sampled_from(["succeed", "fail", "abort", "retry", "release", "start"]),
        },
    ),
    Step("cancel", 1, {"pick": PICK, "abort": st.booleans()}),
    Step("pin", 2, {"pick": PICK}),
    Step("unpin", 1),
    Step("renew", 2, {"number": WORKER}),
    Step(
        "befall",
        4,
        {
            "number": WORKER,
            "what": st.sampled_from(["freeze", "freeze", "die", "lose its session"]),
        },
    ),
    Step(
        "fall_at_work",
        6,
        {
            "number": WORKER,
            "what": st.sampled_from(["freeze", "freeze without its session", "die"]),
            "pinned": st.booleans(),
            "noticed": st.none() | BETWEEN,
            "lock": LOCKS,
        },
    ),
    Step("leave", 1, {"number": WORKER}),
    Step("prune_workers", 1),
    Step("time_passes", 2, {"seconds": st.sampled_from([0.1, 0.3, 0.6, 1.0, 1.3, 2.0])}),
    Step("much_time_passes", 1, {"seconds": st.sampled_from([10.0, 40.0, 600.0])}),
    Step("databases_clock_jumps", 1, {"seconds": st.sampled_from([-3600.0, 3600.0])}),
    Step("rescuer_reconnects", 1, {"number": WORKER}),
    Step(
        "sweep",
        4,
        {
            "number": WORKER,
            "between": BETWEEN,
            "batch_size": st.sampled_from([1, 2, 1000]),
        },
    ),
    Step(
        "sweep_for_a_while",
        4,
        {
            "number": WORKER,
            "seconds": st.sampled_from([1.0, 3.0, 6.0, 10.0]),
            "between": BETWEEN,
        },
    ),
]
WEIGHTED = [step for step in STEPS for _ in range(step.weight)]


class Leases(RuleBasedStateMachine):
    """Virtual workers on the real SQL, a dict as the model."""

    runner: asyncio.Runner
    connection: psycopg.AsyncConnection[Any]
    pinning: psycopg.AsyncConnection[Any]
    sessions: list[psycopg.AsyncConnection[Any]]
    hand: VirtualWorker

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.wall_s = 0.0
        self.live: dict[int, Known] = {}
        self.ended: dict[int, tuple[str, int, int, int]] = {}
        self.stale: list[ClaimedJob] = []
        self.rows: dict[int, Row] = {}
        self.stale_worker_ids: list[int] = []
        self.wait(self.connection.execute(EMPTY))
        self.workers = [Worker(session, a_watch()) for session in self.sessions]
        for worker in self.workers:
            self.start(worker)

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something asynchronous."""
        return self.runner.run(coroutine)

    def start(self, worker: Worker) -> None:
        """Register, in a process that has just started or that was taken for dead."""
        self.wait(worker.session.execute("select pg_advisory_unlock_all()"))
        [(worker.id, locked)] = self.wait(
            run(
                worker.session,
                "register_worker",
                name="virtual",
                host="test",
                pid=1,
                queues=None,
                concurrency=1,
                tasks=None,
                lease_s=LEASE_S,
                renew_interval_s=RENEW_INTERVAL_S,
            )
        )
        assert locked
        worker.lives, worker.is_frozen, worker.has_session = True, False, True
        self.rows[worker.id] = Row(self.now_s, worker)

    @rule(step=st.sampled_from(WEIGHTED), data=st.data())
    def happens(self, step: Step, data: st.DataObject) -> None:
        """One rule for all: Hypothesis leaves out rules at random, and too little would ever meet."""
        if self.is_possible(step.name):
            arguments = {name: data.draw(what, name) for name, what in step.arguments.items()}
            getattr(self, step.name)(**arguments)

    def is_possible(self, step: str) -> bool:
        """Whether there is anything to do it with."""
        match step:
            case "end" | "retry" | "release" | "mark_started":
                return bool(self.held())
            case "pin":
                return bool(self.held()) and not self.pinned()
            case "unpin":
                return bool(self.pinned())
            case "cancel":
                return bool(self.free())
            case "come_too_late":
                return bool(self.stale)
            case "claim_under_an_id_that_is_over":
                return bool(self.stale_worker_ids)
            case _:
                return True

    # Jobs ---------------------------------------------------------------------------------------

    def defer(
        self,
        lock: str | None,
        key: str | None,
        later: bool,
        crashes_max: int,
        priority: int,
        count: int,
    ) -> None:
        job = new_job(
            lock=lock,
            queueing_lock=key,
            priority=priority,
            crashes_max=crashes_max,
            scheduled_at=in_seconds(LATER_S) if later else None,
        )
        is_free = key is None or key not in {
            other.key for other in self.live.values() if other.claim is None
        }
        accepted = self.wait(defer(self.connection, *[job] * count))
        assert len(accepted) == (count if key is None else int(is_free))
        due_at_s = self.wall_s + LATER_S if later else ALWAYS
        for job_id in accepted:
            self.live[job_id] = Known(job_id, lock, key, due_at_s, not later, crashes_max)
        if key is not None:
            assert self.wait(defer(self.connection, job)) == [], "the same, sent twice"

    def look_and_claim(self, number: int, size: int) -> None:
        worker = self.acting(number)
        if worker is not None:
            self.wait(self.hand.look())
            for job in self.live.values():
                was_due = job.was_due or job.due_at_s <= self.wall_s + REAL_TIME_MAX_S
                self.live[job.id] = replace(job, was_due=was_due)
            self.claim(worker, size)

    def claim_suspect(self, number: int) -> None:
        worker = self.acting(number)
        if worker is None:
            return
        claims = self.wait(self.hand.store.claim_suspect(None, [], worker.id))
        assert len(claims) <= 1
        for claim in claims:
            assert self.live[claim.id].is_suspect
            self.note_claim(claim, worker)

    def claim_under_an_id_that_is_over(self, pick: int) -> None:
        self.defer(None, None, False, 3, 0, 1)
        self.try_under(chosen(self.stale_worker_ids, pick))

    def end(self, pick: int, how: str, twice: bool) -> None:
        job, claim = self.running(pick)
        assert self.wait(getattr(self.hand, how)(claim)) == {job.id}
        status = {"succeed": "succeeded", "fail": "failed", "abort": "aborted"}[how]
        self.note_end(job, status, spent=1)
        if twice:
            before = self.wait(self.tables())
            assert self.wait(self.hand.record(outcome_of(how, claim), repeated=True)) == {job.id}
            assert self.wait(self.tables()) == before

    def retry(self, pick: int, later: bool) -> None:
        job, claim = self.running(pick)
        at = in_seconds(LATER_S) if later else None
        assert self.wait(self.hand.retry(claim, at=at)) == {job.id}
        waits = later and not job.abort_requested
        self.note_return(
            job,
            attempts=job.attempts + 1,
            is_started=False,
            # It may have become one since it was claimed: once started, it must not crash any more.
            is_suspect=job.crashes > 0 and job.crashes + 1 >= job.crashes_max,
            due_at_s=self.wall_s + LATER_S if waits else ALWAYS,
            was_due=not waits,
        )

    def release(self, pick: int) -> None:
        job, claim = self.running(pick)
        assert self.wait(self.hand.release(claim)) == {job.id}
        self.note_return(job, is_started=False)

    def mark_started(self, pick: int) -> None:
        job, claim = self.running(pick)
        assert self.wait(self.hand.store.mark_started(claim))
        self.live[job.id] = replace(job, is_started=True, crashes_max=1)

    def come_too_late(self, pick: int, how: str) -> None:
        live = [claim for claim in self.stale if claim.id in self.live]
        claim = chosen(live or self.stale, pick)
        if claim.id in self.live and self.live[claim.id].is_pinned:
            return
        before = self.wait(self.tables())
        if how == "start":
            assert not self.wait(self.hand.store.mark_started(claim))
        else:
            assert self.wait(getattr(self.hand, how)(claim)) == set()
        assert self.wait(self.tables()) == before

    def cancel(self, pick: int, abort: bool) -> None:
        job = chosen(self.free(), pick)
        done = self.wait(cancel(self.connection, job.id, abort=abort))
        if job.claim is None:
            assert done
            self.note_end(job, "cancelled", spent=0)
        else:
            assert done == abort
            self.live[job.id] = replace(job, abort_requested=job.abort_requested or abort)

    def pin(self, pick: int) -> None:
        """Somebody locks a claimed job's row, in a transaction that stays open."""
        job = chosen(self.held(), pick)
        self.wait(self.pinning.execute("begin"))
        query = "select from forthwith.job where id = %s for update"
        self.wait(self.pinning.execute(query, [job.id]))
        self.live[job.id] = replace(job, is_pinned=True)

    def unpin(self) -> None:
        self.wait(self.pinning.execute("rollback"))
        for job in self.pinned():
            self.live[job.id] = replace(job, is_pinned=False)

    # Workers ------------------------------------------------------------------------------------

    def renew(self, number: int) -> None:
        worker = self.acting(number)
        if worker is not None:
            self.renewed(worker)

    def befall(self, number: int, what: str) -> None:
        worker = self.workers[number]
        if not worker.lives:
            self.start(worker)
        elif what == "freeze":
            worker.is_frozen = not worker.is_frozen
        else:
            worker.lives = what != "die"
            worker.is_frozen = what == "freeze without its session"
            worker.has_session = False
            self.wait(worker.session.execute("select pg_advisory_unlock_all()"))

    def leave(self, number: int) -> None:
        """Leave in an orderly way, though jobs may still be claimed: those are rescued at once."""
        worker = self.workers[number]
        if not worker.acts or worker.id not in self.rows:
            return
        holds_jobs = bool(self.claimed_by(worker.id))
        rows = self.wait(run(self.connection, "unregister_worker", worker_id=worker.id))
        assert bool(rows) != holds_jobs
        if holds_jobs:
            self.wait(run(self.connection, "expire_lease", worker_id=worker.id))
            self.rows[worker.id].has_ended = True
            self.stale_worker_ids.append(worker.id)
        else:
            self.note_worker_off(worker.id)
        worker.lives = worker.has_session = False
        self.wait(worker.session.execute("select pg_advisory_unlock_all()"))

    def prune_workers(self) -> None:
        """Forget everybody who holds no job, though he lives: he will register anew."""
        forgotten = self.wait(run(self.connection, "prune_workers", unseen_s=-60.0))
        idle = {worker_id for worker_id in self.rows if not self.claimed_by(worker_id)}
        assert {worker_id for (worker_id,) in forgotten} == idle
        for worker_id in idle:
            self.note_worker_off(worker_id)

    def fall_at_work(
        self, number: int, what: str, pinned: bool, lock: str | None, noticed: str | None
    ) -> None:
        """Claim two jobs, then fall, and be noticed: what else happens by chance too rarely."""
        worker = self.acting(number)
        if worker is None:
            return
        self.defer(lock, None, False, 3, 1, 2)
        self.look_and_claim(number, 5)
        if pinned and self.is_possible("pin"):
            self.pin(0)
        self.befall(self.workers.index(worker), what)
        if noticed is not None:
            self.sweep_for_a_while(number, LEASE_S + 2 * SWEEP_S, noticed)

    # Time ---------------------------------------------------------------------------------------

    def time_passes(self, seconds: float) -> None:
        self.elapse(seconds)

    def much_time_passes(self, seconds: float) -> None:
        """So much that whoever can renew has done so, most of all a moment ago."""
        self.elapse(seconds)
        for worker in self.workers:
            if worker.acts:
                self.renewed(worker)

    def databases_clock_jumps(self, seconds: float) -> None:
        self.wall_s += seconds
        self.shift(seconds)

    def rescuer_reconnects(self, number: int) -> None:
        self.workers[number].connection += 1

    def sweep(self, number: int, between: str, batch_size: int) -> None:
        """A worker looks and rescues; perhaps another one comes back just in between."""
        worker = self.acting(number)
        if worker is not None:
            self.swept(worker, between, batch_size)

    def sweep_for_a_while(self, number: int, seconds: float, between: str) -> None:
        """Time passes while a worker sweeps, and those renew that can."""
        worker = self.acting(number)
        end_s = self.now_s + seconds
        while worker is not None and self.now_s < end_s:
            self.elapse(SWEEP_S)
            for other in self.workers:
                if other.acts:
                    self.renewed(other)
            self.swept(worker, between, 1000)

    # What must hold -----------------------------------------------------------------------------

    @invariant()
    def database_is_as_the_model_says(self) -> None:
        live, finished, keys, workers, crashes = self.wait(self.tables())
        assert [row[0] for row in live] == sorted(self.live), "a job lost, or one too many"
        assert not {row[0] for row in live} & {row[0] for row in finished}, "a job in both tables"
        assert {worker_id for (worker_id,) in workers} == self.rows.keys()
        running_locks = [row[5] for row in live if row[1] is not None and row[5] is not None]
        assert len(running_locks) == len(set(running_locks)), "two claimed of one lock"
        for job_id, worker_id, token, attempts, crashed, _ in live:
            job = self.live[job_id]
            assert worker_id is None or worker_id in self.rows, "claimed by nobody"
            assert token >= job.token, "a token that went back"
            assert (worker_id, token, attempts, crashed) == (
                job.owner_id,
                job.token,
                job.attempts,
                job.crashes,
            )
        assert {row[0]: row[1:] for row in finished} == self.ended
        never_claimed = {job.key: job.id for job in self.live.values() if job.key and not job.token}
        assert dict(keys) == never_claimed
        crashes_known = {job.id: job.crashes for job in self.live.values() if job.crashes}
        crashes_known |= {job_id: end[3] for job_id, end in self.ended.items() if end[3]}
        assert dict(crashes) == crashes_known

    def teardown(self) -> None:
        """Whoever froze stays so, and one worker goes on: all becomes final, once."""
        if self.pinned():
            self.unpin()
        self.workers[0].is_frozen = False
        if not self.workers[0].lives:
            self.start(self.workers[0])
        self.renewed(self.workers[0])
        for worker in self.workers[1:]:
            worker.is_frozen = True
        self.sweep_for_a_while(0, LEASE_S + 5 + 2 * SWEEP_S, "nothing")
        assert self.rows.keys() == {self.workers[0].id}, "a silent worker that nobody noticed"
        self.databases_clock_jumps(FAR_S)
        for job in [job for job in self.live.values() if job.claim is not None]:
            assert job.claim is not None
            assert self.wait(self.hand.succeed(job.claim)) == {job.id}
            self.note_end(job, "succeeded", spent=1)
        while self.live:
            before = len(self.live)
            self.look_and_claim(0, 5)
            self.claim_suspect(0)
            for job in [job for job in self.live.values() if job.claim is not None]:
                assert self.wait(self.hand.succeed(job.claim)) == {job.id}
                self.note_end(job, "succeeded", spent=1)
            assert len(self.live) < before, f"stranded: {self.live}"
        self.database_is_as_the_model_says()

    # Steps --------------------------------------------------------------------------------------

    def claim(self, worker: Worker, size: int) -> None:
        shares = [Share("default", size, QUEUE_START)]
        claims = self.wait(self.hand.store.claim(shares, [], worker.id))
        unlocked = [
            job
            for job in self.live.values()
            if job.claim is None and not job.is_suspect and job.lock is None
            if job.due_at_s + REAL_TIME_MAX_S < self.wall_s
        ]
        if worker.id in self.rows and not self.rows[worker.id].has_ended:
            assert len(claims) >= min(size, len(unlocked)), "left what could be claimed"
        for claim in claims:
            assert not self.live[claim.id].is_suspect
            self.note_claim(claim, worker)

    def renewed(self, worker: Worker) -> None:
        """Renew, as the lease keeper does: take the lock on a new session, register if lost."""
        if not worker.has_session:
            self.take_lock(worker)
        if not self.renew_lease(worker):
            self.start(worker)

    def renew_lease(self, worker: Worker) -> bool:
        renewal = {
            "worker_id": worker.id,
            "lease_s": LEASE_S,
            "renew_interval_s": None,
            "running": 1,
        }
        is_kept = bool(self.wait(run(worker.session, "renew_lease", **renewal)))
        row = self.rows.get(worker.id)
        assert is_kept == (row is not None and not row.has_ended)
        if row is not None and is_kept:
            row.renewed_s = self.now_s
        return is_kept

    def swept(self, sweeper: Worker, between: str, batch_size: int) -> None:
        gone = self.wait(self.look_of(sweeper))
        if not gone:
            return
        for worker in [self.rows[worker.worker_id].process for worker in gone]:
            self.come_back(worker, between)
        taken = {worker.worker_id for worker in gone if self.is_as_observed(worker)}
        assert all(map(self.may_be_gone, taken)), "a worker that lives was taken for dead"
        takeable = {
            job.id: job
            for worker_id in taken
            for job in self.claimed_by(worker_id)
            if not job.is_pinned
        }
        rescued: list[Rescued] = self.wait(take_over(self.connection, gone, batch_size=batch_size))
        fates = {row.job_id: row.fate for row in rescued}
        assert len(fates) == min(batch_size, len(takeable))
        for job_id, fate in fates.items():
            job = takeable[job_id]
            assert fate == job.fate
            self.note_crash(job, fate)
            assert job.claim is not None
            assert self.wait(self.hand.succeed(job.claim)) == set(), "it came too late"
        for worker_id in taken:
            if self.claimed_by(worker_id):
                self.rows[worker_id].has_ended = True
                self.stale_worker_ids.append(worker_id)
            else:
                self.note_worker_off(worker_id)
            self.try_under(worker_id)

    def come_back(self, worker: Worker, between: str) -> None:
        """After the look that finds it gone, and before the rescue, a worker is there again."""
        if not worker.lives or between == "nothing":
            return
        if between == "renews":
            worker.is_frozen = False
            self.renewed(worker)
        elif between == "only renews":
            self.renew_lease(worker)
        elif not worker.has_session:
            self.take_lock(worker)

    def is_as_observed(self, gone: Gone) -> bool:
        """Whether the statement finds the worker as the look did."""
        row = self.rows.get(gone.worker_id)
        if row is None or row.has_ended:
            return row is not None
        has_session = row.process.id == gone.worker_id and row.process.has_session
        return row.renewed_s < self.now_s and not (gone.sessionless and has_session)

    def take_lock(self, worker: Worker) -> None:
        query = {"worker_id": worker.id}
        [(worker.has_session,)] = self.wait(run(worker.session, "hold_worker_lock", **query))

    def try_under(self, worker_id: int) -> None:
        """Nothing is to be had under an id that is over."""
        share = Share("default", 9, QUEUE_START)
        assert self.wait(self.hand.store.claim([share], [], worker_id)) == []
        assert self.wait(self.hand.store.claim_suspect(None, [], worker_id)) == []
        renewal = {
            "worker_id": worker_id,
            "lease_s": LEASE_S,
            "renew_interval_s": None,
            "running": 1,
        }
        assert self.wait(run(self.connection, "renew_lease", **renewal)) == []

    async def look_of(self, sweeper: Worker) -> Any:
        rows = await run(
            self.connection,
            "look_at_workers",
            doubted_ids=sweeper.watch.doubted_ids(self.now_s),
        )
        sightings = [Sighting._make(row)._replace(server_age_s=1e6) for row in rows]
        return sweeper.watch.observe(Look(sweeper.connection, self.now_s, self.now_s, sightings))

    def may_be_gone(self, worker_id: int) -> bool:
        """Whether the worker has ended, or has truly been silent for as long as it takes."""
        row = self.rows[worker_id]
        silent_s = self.now_s - row.renewed_s + 1e-6
        has_session = row.process.id == worker_id and row.process.has_session
        return row.has_ended or silent_s >= (EXPIRED_AFTER_S if has_session else MISSING_AFTER_S)

    def acting(self, number: int) -> Worker | None:
        """Return a worker that can do something."""
        acting = [worker for worker in self.workers if worker.acts]
        return acting[number % len(acting)] if acting else None

    def elapse(self, seconds: float) -> None:
        self.now_s += seconds
        self.wall_s += seconds
        self.shift(seconds)

    def shift(self, seconds: float) -> None:
        self.wait(self.connection.execute(ELAPSE, {"s": seconds}))

    async def tables(self) -> list[Any]:
        queries = (
            LIVE,
            FINISHED,
            KEYS_HELD,
            "select id from forthwith.worker order by id",
            CRASHES,
        )
        async with self.connection.pipeline():
            cursors = [await self.connection.execute(query) for query in queries]
        return [await cursor.fetchall() for cursor in cursors]

    # What the model notes -----------------------------------------------------------------------

    def pinned(self) -> list[Known]:
        return [job for job in self.live.values() if job.is_pinned]

    def free(self) -> list[Known]:
        return [job for job in self.live.values() if not job.is_pinned]

    def held(self) -> list[Known]:
        """Claimed jobs whose claim's process can still say how they ended."""
        acting = {row_id for row_id, row in self.rows.items() if row.process.acts}
        return [job for job in self.free() if job.claim is not None and job.owner_id in acting]

    def claimed_by(self, worker_id: int) -> list[Known]:
        return [job for job in self.live.values() if job.owner_id == worker_id]

    def running(self, pick: int) -> tuple[Known, ClaimedJob]:
        job = chosen(self.held(), pick)
        assert job.claim is not None
        return job, job.claim

    def note_claim(self, claim: ClaimedJob, worker: Worker) -> None:
        job = self.live[claim.id]
        assert job.claim is None, "claimed already"
        assert job.was_due, "claimed before it was due"
        assert worker.id in self.rows, "claimed under an id that is not registered"
        assert not self.rows[worker.id].has_ended, "claimed under an id that is over"
        assert claim.lease_token > job.token
        self.live[job.id] = replace(job, claim=claim, owner_id=worker.id, token=claim.lease_token)

    def note_return(self, job: Known, **changes: Any) -> None:
        assert job.claim is not None
        self.stale.append(job.claim)
        changes = {"is_suspect": job.is_suspect, **changes}
        self.live[job.id] = replace(
            job, claim=None, owner_id=None, token=job.token + 1, is_pinned=False, **changes
        )

    def note_end(self, job: Known, status: str, *, spent: int, crashed: int = 0) -> None:
        if job.claim is not None:
            self.stale.append(job.claim)
        self.ended[job.id] = (status, job.token, job.attempts + spent, job.crashes + crashed)
        del self.live[job.id]

    def note_crash(self, job: Known, fate: str) -> None:
        if fate == "released":
            self.note_return(job)
        elif fate == "rescued":
            self.note_return(
                job,
                is_suspect=job.crashes + 2 >= job.crashes_max,
                is_started=False,
                attempts=job.attempts + 1,
                crashes=job.crashes + 1,
            )
        else:
            self.note_end(job, fate, spent=1, crashed=1)

    def note_worker_off(self, worker_id: int) -> None:
        del self.rows[worker_id]
        self.stale_worker_ids.append(worker_id)


def a_watch() -> Watch:
    """Return the watch of a rescuer."""
    return Watch(renew_interval_s=RENEW_INTERVAL_S, lease_s=LEASE_S)


def outcome_of(how: str, claim: ClaimedJob) -> Any:
    """Return the outcome that a virtual worker's method of that name records."""
    if how == "succeed":
        return Succeeded(claim)
    if how == "fail":
        return Failed(claim, FAILURE)
    return Aborted(claim, FAILURE._replace(kind="aborted"))


def chosen(items: list[Any], pick: int) -> Any:
    """Return one of the items."""
    return items[pick % len(items)]


def in_seconds(seconds: float) -> datetime.datetime:
    """Return a time from now."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)


def explore(database_url: str, examples: int, steps: int) -> None:
    """Run so many random examples."""

    def connect() -> Any:
        return runner.run(psycopg.AsyncConnection.connect(database_url, autocommit=True))

    with asyncio.Runner() as runner:
        connections = [connect() for _ in range(WORKERS + 2)]
        hand = VirtualWorker(database_url, connections[0])

        class Machine(Leases):
            pass

        Machine.runner, Machine.hand = runner, hand
        Machine.connection, Machine.pinning, *Machine.sessions = connections
        try:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=steps,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                    print_blob=True,
                    phases=(Phase.generate, Phase.shrink),
                ),
            )
        finally:
            runner.run(hand.store.close())
            for connection in connections:
                runner.run(connection.close())


def test_leases_lose_no_job_and_take_none_from_the_living(database_url: str) -> None:
    explore(database_url, EXAMPLES, 30)


@pytest.mark.soak
def test_leases_lose_no_job_and_take_none_from_the_living_in_a_thousand_runs(
    database_url: str,
) -> None:
    explore(database_url, SOAK_EXAMPLES, 60)
