"""What operators do by hand while faults happen: cancel, abort, retry, delete."""

from __future__ import annotations

import asyncio
import datetime
import random
from typing import TYPE_CHECKING, Any

from tests.support.workers import status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import forthwith
    from forthwith.verify.lab import Lab

    MakeLab = Callable[..., Awaitable[Lab]]
    WaitUntil = Callable[..., Awaitable[Any]]

# How the checkers see a job that somebody brings back from history with the attempts that it had.
BY_HAND = "an attempt was counted while no worker had the job"


async def test_jobs_cancelled_while_they_are_claimed_run_or_are_cancelled_and_never_both(
    make_lab: MakeLab,
) -> None:
    lab = await make_lab()
    for _ in range(2):
        lab.start_worker(concurrency=8)
    await lab.wait_ready()
    cancelled: dict[int, bool] = {}
    for number in range(1_000):
        job_id = await lab.defer("work", f"key {number}", lock=f"lock {number % 7}")
        late_s = 0.004 if False in cancelled.values() else 0.05
        await asyncio.sleep(random.choice([0.0, random.uniform(0, late_s)]))
        cancelled[job_id] = await lab.cancel(job_id)
        if number >= 100 and len(set(cancelled.values())) == 2:
            break
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    ends = {job.id: job.status for job in verdict.history.jobs}
    ran = {run.job_id for run in verdict.history.runs}
    for job_id, was_cancelled in cancelled.items():
        assert ends[job_id] == ("cancelled" if was_cancelled else "succeeded")
        assert (job_id in ran) is not was_cancelled
    assert set(cancelled.values()) == {True, False}, "it went the same way each time"


async def test_abort_that_was_asked_of_a_worker_that_dies_is_kept(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    """The job must not run again: somebody was told that it will be aborted."""
    lab = await make_lab(lease_s=1.0, renew_s=0.1)
    victim = lab.start_worker(concurrency=10)
    deaf = [await lab.defer("gate_in_thread", f"deaf {n}", lock=f"{n % 2}") for n in range(4)]
    keen = [await lab.defer("gate", f"keen {n}") for n in range(3)]
    await wait_until(lambda: len(lab.starts()) == 5)  # of each lock one
    victim.freeze()
    asked = [job_id for job_id in (*deaf, *keen) if await lab.cancel(job_id, abort=True)]
    lab.start_worker()
    victim.kill()
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert asked == [*deaf, *keen]
    ends = {job.id: job.status for job in verdict.history.jobs}
    assert {ends[job_id] for job_id in asked} <= {"aborted", "cancelled"}
    assert len(verdict.history.runs) == 5, "nothing has run a second time"


async def test_failed_jobs_are_retried_while_workers_die_and_are_rescued(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(lease_s=1.0, renew_s=0.1)
    victims = [lab.start_worker(concurrency=4) for _ in range(2)]
    failed = [await lab.defer("once", f"once {n}", run_s=30.0, lock=f"{n}") for n in range(4)]
    held = [await lab.defer("gate", f"held {n}", lock=f"{n}") for n in range(4)]  # behind them
    others = [await lab.defer("gate", f"other {n}") for n in range(4)]
    await wait_until(lambda: len(lab.starts()) == 8)
    victims[0].kill()
    lab.start_worker(concurrency=16)
    victims[1].kill()

    for job_id in failed:
        await wait_until(lambda job_id=job_id: is_status(lab.app, job_id, "failed"))
        await lab.app.job_manager.retry_job_by_id_async(job_id, now())
    for number in range(4):
        lab.open_gate(f"held {number}", run=1)
        lab.open_gate(f"other {number}", run=2)
    for job_id in failed:
        await wait_until(lambda job_id=job_id: len(lab.starts(job_id)) == 2, 20)
        assert await lab.cancel(job_id, abort=True)
    verdict = await lab.settle()
    found = [violation for violation in verdict.violations if BY_HAND not in violation.text]
    assert not found, verdict.text()
    ends = {job.id: job.status for job in verdict.history.jobs}
    assert {ends[job_id] for job_id in failed} == {"aborted"}
    assert {ends[job_id] for job_id in (*held, *others)} == {"succeeded"}


async def test_jobs_taken_from_their_worker_by_hand_run_once_more_and_complete_once(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    """A retry of a running job: the outcome of the run that goes on is refused."""
    lab = await make_lab()
    worker = lab.start_worker(concurrency=10)
    ids = [await lab.defer("gate", f"key {n}", lock=f"{n % 3}") for n in range(3)]
    await wait_until(lambda: len(lab.starts()) == 3)
    for job_id in ids:
        await lab.app.job_manager.retry_job_by_id_async(job_id, now())
    await wait_until(lambda: len(lab.starts()) == 6)
    for number in range(3):
        lab.open_gate(f"key {number}", run=1)
    await wait_until(lambda: worker.output().count("LeaseLost") == 3)
    assert {await status(lab.app, job_id) for job_id in ids} == {"doing"}
    for number in range(3):
        lab.open_gate(f"key {number}", run=2)
    await wait_until(lambda: is_settled(lab))
    for job_id in ids:
        job = await lab.app.job_manager.get_job_async(job_id)
        assert job is not None
        assert (job.status, job.attempts) == ("succeeded", 2)


async def test_deleted_jobs_leave_nothing_behind_that_holds_others(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    """Heads of lines and holders of queueing locks, deleted while their worker is killed."""
    lab = await make_lab(lease_s=1.0, renew_s=0.1)
    victim = lab.start_worker(concurrency=2)
    manager = lab.app.job_manager
    running = [await lab.defer("gate", f"running {n}", lock=f"{n}") for n in range(2)]
    await wait_until(lambda: len(lab.starts()) == 2)
    deleted = [
        await lab.defer("work", f"deleted {n}", lock=f"{n % 4}", queueing_lock=f"{n}")
        for n in range(12)
    ]
    kept = [await lab.defer("work", f"kept {n}", lock=f"{n % 4}") for n in range(12)]
    lab.start_worker(concurrency=1, queues=["elsewhere"])  # it rescues, and runs none of these
    victim.kill()
    gone = await asyncio.gather(
        *(manager.cancel_job_by_id_async(job_id, delete_job=True) for job_id in deleted)
    )
    again = [
        await lab.defer("work", f"again {n}", queueing_lock=f"{n}") for n in range(12) if gone[n]
    ]
    lab.start_worker(concurrency=4)
    for number in range(2):
        lab.open_gate(f"running {number}", run=2)
    await wait_until(lambda: is_settled(lab))
    assert all(gone)
    assert {await status(lab.app, job_id) for job_id in deleted} == {None}
    for job_id in (*running, *kept, *again):
        assert await status(lab.app, job_id) == "succeeded"
    assert not [run for run in lab.starts() if run.job_id in deleted]


async def is_status(app: forthwith.App, job_id: int, expected: str) -> bool:
    """Whether the job has come so far."""
    return await status(app, job_id) == expected


async def is_settled(lab: Lab) -> bool:
    """Whether no job is left."""
    return await lab.unfinished() == 0


def now() -> datetime.datetime:
    """Return the time by this machine's clock: the server is on it, too."""

    return datetime.datetime.now(datetime.UTC)
