"""The lab itself: it sees what happens, and finds nothing wrong where nothing is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forthwith.verify.checkers import check
from forthwith.verify.history import load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from forthwith.verify.lab import Lab

    MakeLab = Callable[..., Awaitable[Lab]]


async def test_quiet_history_holds_and_is_seen_in_full(make_lab: MakeLab, tmp_path: Path) -> None:
    lab = await make_lab()
    lab.start_worker(concurrency=3)
    for number in range(10):
        await lab.defer("work", f"work {number}", lock=f"lock {number % 2}")
    await lab.defer("transfer", "transfer", priority=3)
    await lab.defer("flaky", "flaky", failures=2)
    await lab.defer("threaded", "threaded", schedule_in_s=0.5)
    await lab.defer_batch("work", [{"key": f"batch {number}"} for number in range(20)])
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    history = verdict.history
    assert len(history.jobs) == 33
    assert len(history.runs) == 35  # flaky failed twice
    assert len([run for run in history.runs if run.has_effect]) == 33
    assert {effect.key for effect in history.effects} == {"transfer"}
    assert [worker.exit_status for worker in history.workers] == [0]

    history.save(tmp_path / "history.json")
    again = load(tmp_path / "history.json")
    assert again == history
    assert check(again).ok


async def test_killed_worker_is_survived_and_seen(make_lab: MakeLab, wait_until: Any) -> None:
    lab = await make_lab()
    victim = lab.start_worker(concurrency=2)
    held = await lab.defer("gate", "held")
    moved = await lab.defer("transfer", "moved", run_s=0.5, lock="a")
    await wait_until(lambda: len(lab.starts()) == 2)
    lab.start_worker()
    victim.kill()
    await wait_until(lambda: len(lab.starts(held)) == 2)
    lab.open_gate("held", run=2)
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    crashes = {job.id: job.crashes for job in verdict.history.jobs}
    assert crashes[held] == 1
    assert moved in crashes
    assert [worker.exit_status for worker in verdict.history.workers] == [-9, 0]
