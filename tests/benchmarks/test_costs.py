"""What processes and idle workers cost, as the benchmark counts it."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from benchmarks import goals
from benchmarks.results import PeerResult, Result, Run
from benchmarks.scenarios import cpu
from benchmarks.scenarios.idle import WORKERS, Reading, idle_values
from benchmarks.scenarios.processes import Sample, busy_values, share_of_linear

if TYPE_CHECKING:
    from pathlib import Path

needs_proc = pytest.mark.skipif(not cpu.counts(), reason="this machine has no /proc")
S = 10**9


def tree(proc: Path, pid: int, ticks: list[int], children: list[int]) -> None:
    """A process as /proc shows it."""
    task = proc / str(pid) / "task" / str(pid)
    task.mkdir(parents=True)
    (task / "children").write_text("".join(f"{child} " for child in children))
    fields = ["S", "1", *["0"] * 9, *map(str, ticks), "0"]
    (proc / str(pid) / "stat").write_text(f"{pid} (a ) b) {' '.join(fields)}\n")


def test_tree_counts_the_living_and_the_dead_below_it(tmp_path: Path) -> None:
    tree(tmp_path, 10, [1, 2, 4, 8], [11, 12])
    tree(tmp_path, 11, [16, 0, 0, 0], [])
    tree(tmp_path, 12, [32, 0, 0, 0], [13])  # 13 has gone meanwhile
    assert cpu.tree_s(10, tmp_path) == pytest.approx(63 * cpu.TICK_S)


def test_who_watches_workers_is_none(tmp_path: Path) -> None:
    tree(tmp_path, 10, [100, 0, 0, 0], [11])
    tree(tmp_path, 11, [1, 0, 0, 0], [])
    assert cpu.workers_s(10, tmp_path) == pytest.approx(cpu.TICK_S)
    assert cpu.workers_s(11, tmp_path) == pytest.approx(cpu.TICK_S)


def test_idle_and_waiting_for_a_disk_is_not_busy(tmp_path: Path) -> None:
    line = "1 2 4 1000 1000 8 16 32 0 0"
    (tmp_path / "stat").write_text(f"cpu  {line}\ncpu0 {line}\ncpu1 {line}\ncpu10 {line}\n")
    assert cpu.busy_s([1], tmp_path) == pytest.approx(63 * cpu.TICK_S)


@needs_proc
def test_child_that_computed_is_counted_after_its_end() -> None:
    before = cpu.tree_s(os.getpid())
    code = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert cpu.tree_s(os.getpid()) - before >= 0.2 - 2 * cpu.TICK_S


@needs_proc
def test_child_of_any_thread_is_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert process.pid in cpu.children(os.getpid())
        process.communicate(b"\n")


def test_idle_costs_are_a_minutes() -> None:
    before, after = Reading(100.0, 1000, 5.0, 1.0), Reading(130.0, 1200, 6.0, 1.5)
    assert idle_values(before, after, "postgresql") == {
        "transactions_per_min": 400 / WORKERS,
        "workers_cpu_s_per_min": 2.0,
        "server_cpu_s_per_min": 1.0,
    }


def test_own_commands_are_not_the_workers() -> None:
    before, after = Reading(0.0, 10, 0.0, None), Reading(60.0, 32, 3.0, None)
    assert idle_values(before, after, "redis") == {
        "commands_per_min": 20 / WORKERS,
        "workers_cpu_s_per_min": 3.0,
    }


def test_busy_cores_are_those_between_start_and_end() -> None:
    samples = [
        Sample(0, 0.0, 0.0, 0.0),
        Sample(1 * S, 9.0, 9.0, 9.0),
        Sample(2 * S, 12.0, 10.0, 10.5),
        Sample(3 * S, 15.0, 11.0, 12.0),
        Sample(4 * S, 99.0, 99.0, 99.0),
    ]
    found = busy_values(samples, 1 * S, 3 * S)
    assert (found["cores_busy"], found["cores_server"], found["cores_workers"]) == (3.0, 1.0, 1.5)
    assert busy_values(samples, 1 * S, 1 * S) == {}


def test_share_of_linear() -> None:
    assert math.isclose(share_of_linear(300.0, 4, 100.0), 0.75)


def result(*runs: Run) -> Result:
    """A result of forthwith and one peer."""
    return Result({}, [PeerResult("forthwith", "forthwith"), PeerResult("other", "Other")], [*runs])


@pytest.mark.parametrize(
    ("share", "busy", "said"),
    [
        (0.9, 2.0, "90% of linear; goal 80%; 2.0 of 4 cores busy: not saturated"),
        (0.5, 3.7, "50% of linear; goal 80% until cores saturate; 3.7 of 4 cores busy: saturated"),
        (
            0.5,
            2.0,
            "50% of linear; goal 80%: **not reached**; 2.0 of 4 cores busy: not saturated",
        ),
    ],
)
def test_goal_of_processes_says_what_saturates(share: float, busy: float, said: str) -> None:
    values = {"share_of_linear": share, "cores": 4.0, "cores_busy": busy}
    told = goals.told(result(Run("processes", "4", "forthwith", 1, 10, values)))
    assert list(told) == [f"processes 4: {said}"]


def test_idle_workers_are_held_against_the_most_frugal_peer() -> None:
    told = goals.told(
        result(
            Run("idle", "", "forthwith", 1, 0, {"transactions_per_min": 20.0}),
            Run("idle", "", "other", 1, 0, {"transactions_per_min": 10.0}),
        )
    )
    assert list(told) == [
        "idle transactions a minute: 20.00, Other 10.00; goal: less: **not reached**"
    ]
