"""Lines of a lock against a model: any order of defers, looks, claims, endings and deaths of workers."""

from __future__ import annotations

import asyncio
import datetime
import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from forthwith.engine.ports import QUEUE_START, Share
from tests.store.virtual_worker import VirtualWorker, cancel, defer, new_job, rescue

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from forthwith.job import ClaimedJob

WORKERS = 3
EXAMPLES = int(os.environ.get("FORTHWITH_TEST_EXAMPLES", "25"))
LOCKS = st.sampled_from([None, "A", "A", "A", "B"])
PRIORITIES = st.integers(-1, 1)
SIZES = st.integers(1, 4)
PICK = st.integers(0, 1000)
CRASHES_MAX = 3
TABLES = "job, finished_job, failed_attempt, queueing_lock, worker, queue_pause, result, progress"
EMPTY = "; ".join(f"delete from forthwith.{table}" for table in TABLES.split(", "))  # noqa: S608


@dataclass(frozen=True)
class Known:
    """What the model knows of a live job."""

    id: int
    priority: int
    lock: str | None
    due: bool
    claim: ClaimedJob | None = None
    owner: int = 0
    suspect: bool = False
    crashes: int = 0
    abort_requested: bool = False
    kept_place: bool = False
    """It has come back, and stays its line's head though a better job stands behind it."""

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands: best first."""
        return (-self.priority, self.id)

    @property
    def is_waiting(self) -> bool:
        """Whether it could run if its lock were free."""
        return self.due and self.claim is None and not self.suspect


class Lines(RuleBasedStateMachine):
    """Virtual workers on the real SQL, a dict as the model."""

    url: str
    runner: asyncio.Runner
    connection: psycopg.AsyncConnection[Any]
    workers: list[VirtualWorker]

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, Known] = {}
        self.ended: dict[int, str] = {}
        self.stale: list[ClaimedJob] = []
        self.wait(self.connection.execute(EMPTY))
        for worker in self.workers:
            self.wait(worker.register())

    def wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run something asynchronous."""
        return self.runner.run(coroutine)

    # What happens -------------------------------------------------------------------------------

    @rule(lock=LOCKS, priority=PRIORITIES, later=st.booleans(), count=st.integers(1, 3))
    def defer(self, lock: str | None, priority: int, later: bool, count: int) -> None:
        at = in_an_hour() if later else None
        jobs = [new_job(lock=lock, priority=priority, scheduled_at=at) for _ in range(count)]
        for job_id in self.wait(defer(self.connection, *jobs)):
            self.live[job_id] = Known(job_id, priority, lock, due=not later)

    @precondition(lambda self: self.scheduled())
    @rule(pick=PICK)
    def time_comes(self, pick: int) -> None:
        job = chosen(self.scheduled(), pick)
        self.wait(
            self.connection.execute(
                "update forthwith.job set scheduled_at = clock_timestamp() - interval '1 s'"
                " where id = %s",
                [job.id],
            )
        )
        self.live[job.id] = replace(job, due=True)

    @rule(number=st.integers(0, WORKERS - 1), size=SIZES)
    def look_and_claim(self, number: int, size: int) -> None:
        worker = self.workers[number]
        self.wait(worker.look())
        self.check_heads()
        self.claim(worker, size)

    @rule(number=st.integers(0, WORKERS - 1), size=SIZES)
    def claim_without_a_look(self, number: int, size: int) -> None:
        self.claim(self.workers[number], size)

    def claim(self, worker: VirtualWorker, size: int) -> None:
        ready = sorted((self.live[job_id] for job_id in self.in_state("ready")), key=by_place)
        shares = [Share("default", size, QUEUE_START)]
        claims = self.wait(worker.store.claim(shares, [], worker.worker_id))
        assert {claim.id for claim in claims} == {job.id for job in ready[:size]}
        for claim in claims:
            assert self.live[claim.id].is_waiting, "claimed what was not due, or claimed already"
            self.note_claim(claim, worker)

    @rule(number=st.integers(0, WORKERS - 1))
    def claim_suspect(self, number: int) -> None:
        worker = self.workers[number]
        suspects = sorted((job for job in self.live.values() if job.suspect), key=by_place)
        claims = self.wait(worker.claim_suspect())
        assert [claim.id for claim in claims] == [job.id for job in suspects[:1]]
        for claim in claims:
            self.note_claim(claim, worker)

    @precondition(lambda self: self.claimed())
    @rule(pick=PICK, how=st.sampled_from(["succeed", "fail", "abort"]))
    def end(self, pick: int, how: str) -> None:
        job, claim, worker = self.running(pick)
        assert self.wait(getattr(worker, how)(claim)) == {job.id}
        self.note_end(job, {"succeed": "succeeded", "fail": "failed", "abort": "aborted"}[how])

    @precondition(lambda self: self.with_chances())
    @rule(pick=PICK, later=st.booleans(), priority=st.none() | PRIORITIES, lock=LOCKS)
    def retry(self, pick: int, later: bool, priority: int | None, lock: str | None) -> None:
        job, claim, worker = self.held(chosen(self.with_chances(), pick))
        at = in_an_hour() if later else None
        assert self.wait(worker.retry(claim, at=at, priority=priority, lock=lock)) == {job.id}
        self.note_return(
            job,
            due=job.abort_requested or not later,
            priority=job.priority if priority is None else priority,
            lock=lock or job.lock,
            suspect=False,
            kept_place=False,
        )

    @precondition(lambda self: self.claimed())
    @rule(pick=PICK)
    def release(self, pick: int) -> None:
        job, claim, worker = self.running(pick)
        was_suspect = self.in_state("suspect", claimed=True) & {job.id}
        assert self.wait(worker.release(claim)) == {job.id}
        self.note_return(job, suspect=bool(was_suspect), kept_place=True)

    @precondition(lambda self: self.live)
    @rule(pick=PICK, abort=st.booleans())
    def cancel(self, pick: int, abort: bool) -> None:
        job = chosen(list(self.live.values()), pick)
        done = self.wait(cancel(self.connection, job.id, abort=abort))
        if job.claim is None:
            assert done
            self.note_end(job, "cancelled")
        else:
            assert done == abort
            self.live[job.id] = replace(job, abort_requested=job.abort_requested or abort)

    @rule(number=st.integers(0, WORKERS - 1))
    def die(self, number: int) -> None:
        worker = self.workers[number]
        lost = [job for job in self.claimed() if job.owner == number]
        self.wait(worker.die())
        fates = {row.job_id: row.fate for row in self.wait(rescue(self.connection))}
        assert fates.keys() == {job.id for job in lost}
        for job in lost:
            self.note_crash(job, fates[job.id])
        self.wait(worker.register())

    @precondition(lambda self: self.stale)
    @rule(pick=PICK, how=st.sampled_from(["succeed", "fail", "retry", "release"]))
    def come_too_late(self, pick: int, how: str) -> None:
        claim = chosen(self.stale, pick)
        before = self.wait(self.table())
        assert self.wait(getattr(self.workers[0], how)(claim)) == set()
        assert self.wait(self.table()) == before

    def teardown(self) -> None:
        """Let everything run to its end: nothing is stranded, nothing is lost."""
        self.wait(self.connection.execute("update forthwith.job set scheduled_at = now()"))
        self.live = {job_id: replace(job, due=True) for job_id, job in self.live.items()}
        for job in self.claimed():
            assert job.claim is not None
            assert self.wait(self.workers[job.owner].succeed(job.claim)) == {job.id}
            self.note_end(job, "succeeded")
        worker = self.workers[0]
        while self.live:
            self.wait(worker.look())
            self.check_heads()
            claims = self.wait(worker.claim()) + self.wait(worker.claim_suspect())
            assert claims, f"stranded: {self.wait(self.table())}"
            assert self.wait(worker.succeed(*claims)) == {claim.id for claim in claims}
            for claim in claims:
                self.note_end(self.live[claim.id], "succeeded")
        cursor = self.wait(
            self.connection.execute("select id, status::text from forthwith.finished_job")
        )
        assert dict(self.wait(cursor.fetchall())) == self.ended

    # What must hold -----------------------------------------------------------------------------

    def check_heads(self) -> None:
        """After a look, the ready jobs are those without a lock and the best of each free lock."""
        ready = {self.live[job_id] for job_id in self.in_state("ready")}
        waiting = {job for job in self.live.values() if job.is_waiting}
        held = {job.lock for job in self.live.values() if job.suspect or job.claim is not None}
        assert {job for job in ready if job.lock is None} == {
            job for job in waiting if job.lock is None
        }
        heads = {job.lock: job for job in ready if job.lock is not None}
        due_locks = {job.lock for job in waiting if job.lock is not None}
        assert heads.keys() == due_locks - held, "a line without a head, or one too many"
        for lock, head in heads.items():
            best = min((job for job in waiting if job.lock == lock), key=by_place)
            assert head == best or head.kept_place, f"{head} is head before {best}"

    def in_state(self, state: str, *, claimed: bool = False) -> set[int]:
        cursor = self.wait(
            self.connection.execute(
                "select id from forthwith.job"
                " where state::text = %s and (worker_id is not null) = %s",
                [state, claimed],
            )
        )
        return {job_id for (job_id,) in self.wait(cursor.fetchall())}

    async def table(self) -> list[tuple[Any, ...]]:
        cursor = await self.connection.execute(
            "select id, lease_token, worker_id, state::text, attempts, crashes, lock, priority"
            " from forthwith.job order by id"
        )
        return await cursor.fetchall()

    # What the model notes -----------------------------------------------------------------------

    def scheduled(self) -> list[Known]:
        return [job for job in self.live.values() if not job.due]

    def claimed(self) -> list[Known]:
        return [job for job in self.live.values() if job.claim is not None]

    def with_chances(self) -> list[Known]:
        """Those that a retry brings back as they were. With its last chance a job comes back a suspect, in
        its time and its line, too: test_rescue.py and test_lease_machine.py see to that.
        """
        return [job for job in self.claimed() if job.crashes + 1 < CRASHES_MAX]

    def running(self, pick: int) -> tuple[Known, ClaimedJob, VirtualWorker]:
        return self.held(chosen(self.claimed(), pick))

    def held(self, job: Known) -> tuple[Known, ClaimedJob, VirtualWorker]:
        assert job.claim is not None
        return job, job.claim, self.workers[job.owner]

    def note_claim(self, claim: ClaimedJob, worker: VirtualWorker) -> None:
        job = self.live[claim.id]
        if job.lock is not None:
            assert job.lock not in {other.lock for other in self.claimed()}, "two of one lock run"
        owner = self.workers.index(worker)
        self.live[job.id] = replace(job, claim=claim, owner=owner, suspect=False, kept_place=False)

    def note_return(self, job: Known, **changes: Any) -> None:
        assert job.claim is not None
        self.stale.append(job.claim)
        self.live[job.id] = replace(job, claim=None, **changes)

    def note_end(self, job: Known, status: str) -> None:
        if job.claim is not None:
            self.stale.append(job.claim)
        self.ended[job.id] = status
        del self.live[job.id]

    def note_crash(self, job: Known, fate: str) -> None:
        if job.abort_requested:
            expected = "aborted"
        elif job.crashes + 1 >= CRASHES_MAX:
            expected = "failed"
        else:
            expected = "rescued"
        assert fate == expected
        if fate == "rescued":
            suspect = job.crashes + 2 >= CRASHES_MAX
            self.note_return(job, suspect=suspect, kept_place=not suspect, crashes=job.crashes + 1)
        else:
            self.note_end(job, fate)


def chosen(items: list[Any], pick: int) -> Any:
    """Return one of the items."""
    return items[pick % len(items)]


def by_place(job: Known) -> tuple[int, int]:
    """The order in which jobs start."""
    return job.place


def in_an_hour() -> datetime.datetime:
    """Return a time that no test reaches."""
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)


def test_lines_keep_their_order_and_strand_nobody_whatever_happens(database_url: str) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(psycopg.AsyncConnection.connect(database_url, autocommit=True))
        workers = [VirtualWorker(database_url, connection) for _ in range(WORKERS)]

        class Machine(Lines):
            pass

        Machine.runner, Machine.connection, Machine.workers = runner, connection, workers
        try:
            run_state_machine_as_test(
                Machine,
                settings=settings(
                    max_examples=EXAMPLES,
                    stateful_step_count=40,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                    print_blob=True,
                ),
            )
        finally:
            for worker in workers:
                runner.run(worker.store.close())
            runner.run(connection.close())
