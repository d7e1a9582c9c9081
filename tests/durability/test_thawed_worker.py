"""A worker that was frozen past its lease starts nothing that it had claimed before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith.verify.lab import Lab

    MakeLab = Callable[..., Awaitable[Lab]]
    WaitUntil = Callable[..., Awaitable[Any]]


async def test_thawed_worker_does_not_start_what_others_have_taken_over(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    """Found by `forthwith verify`: it ran them all, for nothing, and side by side with their next runs."""
    lab = await make_lab(lease_s=1.0, renew_s=0.2)
    # It claims ahead, at the pace of the quick jobs, and is frozen while its one runner is busy.
    await lab.defer_batch("work", [{"key": f"quick {number}"} for number in range(300)])
    held = await lab.defer("gate", "held")
    behind = [await lab.defer("work", f"behind {number}") for number in range(20)]
    frozen = lab.start_worker(concurrency=1)
    await wait_until(lambda: lab.starts(held))
    frozen.freeze()
    other = lab.start_worker(concurrency=4)
    await wait_until(lambda: len(lab.starts(held)) == 2)
    for run in (1, 2):
        lab.open_gate("held", run)
    await wait_until(lambda: all(lab.starts(job_id) for job_id in behind))
    frozen.thaw()
    after = await lab.defer("work", "after")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    runs = {job_id: lab.starts(job_id) for job_id in [*behind, after]}
    assert {job_id: len(started) for job_id, started in runs.items()} == dict.fromkeys(runs, 1)
    assert [run.worker for run in lab.starts(held)] == [frozen.name, other.name]
