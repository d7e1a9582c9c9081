"""Worker processes that are killed, frozen, stopped, poisoned, blocked or forked."""

from __future__ import annotations

import asyncio
import re
import signal
import statistics
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.verify.history import Call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith.verify.lab import Lab
    from forthwith.verify.worker_process import LabWorker

    MakeLab = Callable[..., Awaitable[Lab]]
    WaitUntil = Callable[..., Awaitable[Any]]
    RecordFigure = Callable[..., None]

HARM = "tests.support.fault_worker"
LEAVE_WITHIN = "FORTHWITH_TEST_LEAVE_WITHIN_S"
LEAVE_S = 5.0
MACHINE_SLACK_S = 1.5
"""A busy machine may take so long to let a process die."""
RUN_AGAIN_WITHIN_S = 5.0


# -- told to stop ------------------------------------------------------------------------------------


async def test_worker_that_is_told_to_stop_is_gone_in_time_whatever_its_task_does(
    make_lab: MakeLab, wait_until: WaitUntil, record_figure: RecordFigure
) -> None:
    grace_s = 1.0
    lab = await make_lab(worker_program=HARM, grace_s=grace_s)
    cases: dict[str, tuple[str, dict[str, str], int]] = {
        "deaf to cancelling": ("stubborn", {}, 0),
        "in a thread": ("gate_in_thread", {}, 0),
        "in threads of the loop": ("hold_threads_once", {}, 0),
        "in time.sleep": ("block_once", {"how": "sleep"}, 7),
        "in a busy loop": ("block_once", {"how": "spin"}, 7),
        "in C code": ("block_once", {"how": "c code"}, 7),
    }
    jobs = {
        case: await lab.defer(task, case, queue=case, **arguments)
        for case, (task, arguments, _) in cases.items()
    }
    behind = {case: await lab.defer("work", f"behind {case}", queue=case) for case in cases}
    workers = {case: lab.start_worker(queues=[case], concurrency=1) for case in cases}
    await wait_until(lambda: len(lab.starts()) == len(cases))

    took_s = await terminated(list(workers.values()))
    for case, worker in workers.items():
        assert worker.exit_status == cases[case][2], f"{case}\n{worker.output()}"
        assert took_s[worker.name] < grace_s + LEAVE_S + MACHINE_SLACK_S, case
        for job_id in (jobs[case], behind[case]):
            assert await state(lab, job_id) == ("todo", 0, 0), case
    record_figure(
        "slowest exit after SIGTERM, beyond the grace period", max(took_s.values()) - grace_s, "s"
    )

    for case in ("deaf to cancelling", "in a thread"):
        lab.open_gate(case, run=2)
    lab.start_worker()
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert {(job.attempts, job.crashes) for job in verdict.history.jobs} == {(1, 0)}


async def test_second_signal_ends_a_blocked_worker_without_a_grace_period(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    leave_s = 1.0
    lab = await make_lab(worker_program=HARM)
    job_id = await lab.defer("block_once", "blocked", how="sleep")
    worker = lab.start_worker(
        shutdown_graceful_timeout=None, environment={LEAVE_WITHIN: str(leave_s)}
    )
    await wait_until(lambda: lab.starts(job_id))
    worker.terminate()
    # Time itself: without a limit, the first signal ends nothing.
    await asyncio.sleep(leave_s + MACHINE_SLACK_S)
    assert worker.exit_status is None
    again_s = time.monotonic()
    worker.terminate()
    worker.terminate()
    await worker.wait_exit()
    assert time.monotonic() - again_s < LEAVE_S + MACHINE_SLACK_S
    assert worker.exit_status == 7
    assert await state(lab, job_id) == ("todo", 0, 0)


async def test_task_left_behind_does_not_keep_a_worker_that_has_left(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(worker_program=HARM, grace_s=0.5)
    job_id = await lab.defer("leave_a_task_behind", "left")
    worker = lab.start_worker()
    await wait_until(lambda: has_ended(lab, job_id))
    took_s = await terminated([worker])
    assert worker.exit_status == 0
    assert took_s[worker.name] < 0.5 + LEAVE_S + MACHINE_SLACK_S


@pytest.mark.soak  # as test_sigterm_during_an_outage_ends_the_worker_in_time, after a clean stop
async def test_worker_that_must_leave_without_its_database_says_so_and_its_job_runs_again(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(server="own", grace_s=0.5)
    job_id = await lab.defer("gate", "key")
    worker = lab.start_worker()
    await wait_until(lambda: lab.starts(job_id))
    assert lab.server is not None
    with lab.fault("stop", "database"):
        lab.server.stop()
        took_s = await terminated([worker])
        lab.server.start()
    assert took_s[worker.name] < 0.5 + LEAVE_S + MACHINE_SLACK_S
    assert worker.exit_status not in (0, None)
    assert "are not recorded" in worker.output()
    lab.open_gate("key", run=2)
    lab.start_worker()
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()


async def test_lease_is_kept_through_a_long_drain_and_a_blocked_loop(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(lease_s=1.7, renew_s=0.3, grace_s=20.0)
    drained = await lab.defer("gate", "drained", queue="drain")
    blocked = await lab.defer("block", "blocked", queue="block", run_s=7.0)
    drain = lab.start_worker(queues=["drain"])
    block = lab.start_worker(queues=["block"])
    lab.start_worker(queues=["watch"])  # which would rescue
    await wait_until(lambda: len(lab.starts()) == 2)
    drain.terminate()
    await wait_until(lambda: has_ended(lab, blocked))  # three leases later
    assert drain.exit_status is None
    lab.open_gate("drained")
    assert await drain.wait_exit() == 0
    assert await state(lab, drained) == ("succeeded", 1, 0)
    # The watch looks once a second, and warns at the first look after five.
    assert re.search(rf"blocked for [56] s by job {blocked} \(block\)", block.output())
    assert "verify/tasks.py:" in block.output()
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert len(lab.starts()) == 2


@pytest.mark.soak
async def test_lease_of_a_second_is_kept_through_a_drain_of_ten(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(lease_s=1.0, renew_s=0.2, grace_s=10.0)
    job_id = await lab.defer("gate_in_thread", "key")
    worker = lab.start_worker()
    await wait_until(lambda: lab.starts(job_id))
    await lab.wait_ready(lab.start_worker(queues=["watch"]))
    await terminated([worker])
    assert worker.exit_status == 0
    assert await state(lab, job_id) == ("todo", 0, 0)


# -- killed ------------------------------------------------------------------------------------------

# After each death: how often the job ran, its attempts and crashes. One whose completion was sent may
# have been completed or not.
DEATHS: dict[str, tuple[str, set[tuple[int, int, int]]]] = {
    "after_claim": ("work", {(1, 2, 1)}),
    "before_effect": ("work", {(2, 2, 1)}),
    "after_effect": ("work", {(2, 2, 1)}),
    "completion_sent": ("work", {(1, 1, 0), (2, 2, 1)}),
    "after_completion": ("work", {(1, 1, 0)}),
    "before_commit": ("transfer", {(2, 2, 1)}),
    "after_commit": ("transfer", {(1, 1, 0)}),
    "child_deferred": ("parent", {(2, 2, 1)}),
}


async def test_worker_killed_at_any_step_loses_nothing_and_its_job_runs_again_in_seconds(
    make_lab: MakeLab, wait_until: WaitUntil, record_figure: RecordFigure
) -> None:
    lab = await make_lab(worker_program=HARM, lease_s=30.0, renew_s=1.0)
    ids: dict[str, int] = {}
    waited_s: list[float] = []
    for run in (1, 2):  # what the task `parent` will do
        lab.calls.append(Call("defer", f"child {run}", "unknown", 0.0, 0.0, None, "work"))
    alive = [lab.start_worker() for _ in range(2)]
    for step, (task, expected) in DEATHS.items():
        await lab.wait_ready(*alive)
        ids[step] = await lab.defer(task, step)
        victim = await wait_until(lambda: first_dead(alive))
        died_s = time.monotonic()
        assert victim.exit_status == -signal.SIGKILL
        alive.remove(victim)
        alive.append(lab.start_worker())
        await wait_until(lambda: has_ended(lab, ids[step]))  # noqa: B023
        runs = lab.starts(ids[step])
        attempts, crashes = (await state(lab, ids[step]))[1:]
        assert (len(runs), attempts, crashes) in expected, step
        if crashes:
            waited_s.append(runs[-1].started_s - died_s)
            assert waited_s[-1] < RUN_AGAIN_WITHIN_S, step
    record_figure(
        "from a worker's SIGKILL to its job's next start, median", statistics.median(waited_s), "s"
    )
    record_figure("from a worker's SIGKILL to its job's next start, slowest", max(waited_s), "s")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert {effect.key for effect in verdict.history.effects} == {"before_commit", "after_commit"}


async def test_forked_process_that_outlives_a_killed_worker_does_not_delay_its_rescue(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(worker_program=HARM, lease_s=30.0)
    job_id = await lab.defer("fork_a_child_that_stays", "key")
    victim = lab.start_worker()
    await wait_until(lambda: lab.starts(job_id))
    await lab.wait_ready(lab.start_worker())
    await wait_until(lambda: has_child_in_a_session_of_its_own(victim.pid))
    victim.kill()
    await wait_until(lambda: len(lab.starts(job_id)) == 2, RUN_AGAIN_WITHIN_S + MACHINE_SLACK_S)
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()


# -- frozen ------------------------------------------------------------------------------------------


async def test_worker_frozen_past_its_lease_learns_it_and_works_on(
    make_lab: MakeLab, wait_until: WaitUntil, record_figure: RecordFigure
) -> None:
    lab = await make_lab(lease_s=3.0, renew_s=0.3)
    held = await lab.defer("gate", "held", lock="line")
    moved = await lab.defer("transfer", "moved", run_s=0.7)
    frozen = lab.start_worker()
    await wait_until(lambda: len(lab.starts()) == 2)
    behind = await lab.defer("work", "behind", lock="line")
    other = lab.start_worker()
    await lab.wait_ready(other)
    frozen.freeze()  # in the middle of the transaction, too
    frozen_s = time.monotonic()
    await wait_until(lambda: len(lab.starts(held)) == 2)
    record_figure("from a freeze to the next start, lease of 3 s", time.monotonic() - frozen_s, "s")
    assert await state(lab, behind) == ("todo", 0, 0)
    assert not lab.starts(behind)
    lab.open_gate("held", run=1)  # the frozen run may end as soon as it thaws
    frozen.thaw()
    await wait_until(lambda: f"LeaseLost: job {held}" in frozen.output())
    assert (await state(lab, held))[0] == "doing"
    lab.open_gate("held", run=2)
    await wait_until(lambda: has_ended(lab, behind))
    await wait_until(lambda: has_ended(lab, moved))
    await terminated([other])
    after = await lab.defer("work", "after")
    await wait_until(lambda: has_ended(lab, after))
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert [effect.key for effect in verdict.history.effects] == ["moved"]


async def test_freeze_shorter_than_the_lease_costs_nothing(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(lease_s=6.0, renew_s=0.15)
    job_id = await lab.defer("gate", "held")
    frozen = lab.start_worker()
    await wait_until(lambda: lab.starts(job_id))
    await lab.wait_ready(lab.start_worker())
    frozen.freeze()
    await asyncio.sleep(1.5)  # ten renewals
    frozen.thaw()
    lab.open_gate("held")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert [(job.attempts, job.crashes) for job in verdict.history.jobs] == [(1, 0)]


# -- poisoned ----------------------------------------------------------------------------------------


async def test_poison_job_takes_none_of_two_hundred_neighbours_along(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(lease_s=10.0, renew_s=0.3)
    for part in range(4):
        await lab.defer_batch("work", [{"key": f"{part} {n}", "run_s": 0.02} for n in range(50)])
        if part == 0:
            poison = await lab.defer("poison", "poison")
    started = 0

    async def over() -> bool:
        nonlocal started
        if all(worker.exit_status is not None for worker in lab.workers):
            started += 1
            lab.start_worker(concurrency=20)  # as a supervisor does
        return await lab.unfinished() == 0

    await wait_until(over, 90)
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    jobs = {job.id: job for job in verdict.history.jobs}
    assert (jobs.pop(poison).status, len(lab.starts(poison))) == ("failed", 3)
    assert {job.status for job in jobs.values()} == {"succeeded"}
    assert len(jobs) == 200
    assert started <= 4
    attempts = await lab.app.job_manager.list_attempts_async(poison)
    assert attempts[-1].message is not None
    assert attempts[-1].message.endswith("Crash 3 of at most 3. Failed as poison.")


@pytest.mark.parametrize(
    "how",
    [
        "segfault",
        "out of memory",
        pytest.param("close descriptors", marks=pytest.mark.soak),
        pytest.param("os._exit", marks=pytest.mark.soak),
        pytest.param("abort", marks=pytest.mark.soak),
    ],
)
async def test_job_that_takes_its_process_down_ends_and_its_neighbours_finish(
    make_lab: MakeLab, wait_until: WaitUntil, how: str
) -> None:
    lab = await make_lab(worker_program=HARM, lease_s=3.0, renew_s=0.3)
    beside = await lab.defer("work", "beside", run_s=0.5)
    deadly = await lab.defer("die", "deadly", how=how)
    after = await lab.defer_batch("work", [{"key": f"after {n}"} for n in range(10)])
    lab.start_worker()

    async def over() -> bool:
        if all(worker.exit_status is not None for worker in lab.workers):
            lab.start_worker()
        return await lab.unfinished() == 0

    with lab.fault("harm", "*"):
        await wait_until(over, 45)
    verdict = await lab.settle()
    jobs = {job.id: job for job in verdict.history.jobs}
    assert (jobs[deadly].status, len(lab.starts(deadly))) == ("failed", 1)
    assert {jobs[job_id].status for job_id in (beside, *after)} == {"succeeded"}
    if how != "os._exit":  # that of the task's own choice may be 0
        assert verdict.ok, verdict.text()


MISDEEDS = {
    "exit": "failed",
    "interrupt": "failed",
    "generator exit": "failed",
    "recurse": "failed",
    "fork and return": "succeeded",
    "terminate a child": "succeeded",
    "leave the directory": "succeeded",
}


async def test_tasks_that_misbehave_do_not_take_the_worker_along(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(worker_program=HARM)
    worker = lab.start_worker(concurrency=1)
    jobs = {
        (task, how): await lab.defer(task, f"{task} {how}", how=how)
        for task in ("misbehave", "misbehave_in_thread")
        for how in MISDEEDS
    }
    jobs["misbehave", "take the signal"] = await lab.defer("misbehave", "x", how="take the signal")
    after = await lab.defer("work", "after")
    await wait_until(lambda: has_ended(lab, after))
    for (task, how), job_id in jobs.items():
        expected = MISDEEDS.get(how, "succeeded")
        assert (await state(lab, job_id))[0] == expected, f"{how}, {task}\n{worker.output()}"
    assert worker.exit_status is None
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert worker.exit_status == 0


async def test_exit_in_a_tasks_own_task_is_a_failure_of_the_process(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(worker_program=HARM, grace_s=0.5)
    await lab.defer("misbehave", "x", how="exit in a task")
    worker = lab.start_worker()
    assert await worker.wait_exit() == 1
    assert "To stop a worker, use signals" in worker.output()


# -- helpers -----------------------------------------------------------------------------------------


async def terminated(workers: list[LabWorker]) -> dict[str, float]:
    """Stop them all at once; return how many seconds each took."""
    began_s = time.monotonic()
    for worker in workers:
        worker.terminate()

    async def took_s(worker: LabWorker) -> float:
        await worker.wait_exit()
        return time.monotonic() - began_s

    seconds = await asyncio.gather(*map(took_s, workers))
    return {worker.name: took for worker, took in zip(workers, seconds, strict=True)}


async def state(lab: Lab, job_id: int) -> tuple[str, int, int]:
    """Return a job's status, its attempts and its crashes."""
    job = await lab.app.job_manager.get_job_async(job_id)
    assert job is not None
    return job.status, job.attempts, job.crashes


async def has_ended(lab: Lab, job_id: int) -> bool:
    """Whether the job is in history."""
    return (await state(lab, job_id))[0] not in ("todo", "doing")


def has_child_in_a_session_of_its_own(pid: int) -> bool:
    """Whether the process has one, which is not killed with its group."""
    listed = subprocess.run(["ps", "-eo", "ppid=,stat="], stdout=subprocess.PIPE, text=True)
    lines = map(str.split, listed.stdout.splitlines())
    return any((parent, "s" in state) == (str(pid), True) for parent, state in lines)


def first_dead(workers: list[LabWorker]) -> LabWorker | None:
    """Return one whose process has ended."""
    return next((worker for worker in workers if worker.exit_status is not None), None)
