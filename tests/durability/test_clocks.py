"""Clocks that are set while workers work: the database's, and that of a worker's machine.

The server's clock cannot be set here. What is stored is moved by an hour the other way instead: to every
comparison of a stored time with the clock that is the same. When a worker was last seen stays as it is:
nobody compares it with the clock.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.store.statements import statements
from tests.store.virtual_worker import defer, new_job, run, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    import psycopg

    from forthwith.verify.lab import Lab
    from tests.support.worker_process import WorkerProcess

    Connection = psycopg.AsyncConnection[Any]
    MakeLab = Callable[..., Awaitable[Lab]]
    MakeWorkerProcess = Callable[..., WorkerProcess]
    WaitUntil = Callable[..., Awaitable[Any]]

HOUR_S = 3600
LEASE_S = 3.0
SWEEPS_S = 3.0
"""A sweep before the lease began, another after it ended, and what a busy machine adds."""
JUMP = """
with leases as (
    update forthwith.worker set lease_expires_at = lease_expires_at - make_interval(secs => %(s)s)
)
update forthwith.job set
    scheduled_at = scheduled_at - make_interval(secs => %(s)s),
    deferred_at = deferred_at - make_interval(secs => %(s)s),
    claimed_at = claimed_at - make_interval(secs => %(s)s)
"""


async def jump(connection: Connection, seconds: float) -> None:
    """Set the database's clock, forward or back."""
    await connection.execute(JUMP, {"s": seconds})


async def renewed_since(connection: Connection, before: dict[int, Any]) -> bool:
    """Whether every worker has renewed since, and there is nobody else."""
    now = await last_seen(connection)
    return now.keys() == before.keys() and all(now[key] != before[key] for key in now)


async def last_seen(connection: Connection) -> dict[int, Any]:
    """When each worker was last seen."""
    cursor = await connection.execute("select id, last_seen from forthwith.worker")
    return dict(await cursor.fetchall())


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
async def test_nobody_who_lives_is_rescued_when_the_databases_clock_jumps(
    seconds: float, make_lab: MakeLab, connection: Connection, wait_until: WaitUntil
) -> None:
    lab = await make_lab(lease_s=30.0, renew_s=0.3)
    for _ in range(3):
        lab.start_worker(concurrency=2)
    await lab.wait_ready()
    keys = [f"job {number}" for number in range(6)]
    for key in keys:
        await lab.defer("gate", key)
    await wait_until(lambda: len(lab.starts()) == 6)
    before = await last_seen(connection)
    for _ in range(8):  # at other moments of the renewals and of the sweeps
        seen = await last_seen(connection)
        await jump(connection, seconds)
        await wait_until(lambda seen=seen: renewed_since(connection, seen))
        await asyncio.sleep(0.13)  # time itself: the jumps shall not keep step with the renewals
    assert (await last_seen(connection)).keys() == before.keys(), "a worker was taken for dead"
    for key in keys:
        lab.open_gate(key)
    await wait_until(lambda: is_done(lab))
    assert sorted(run.key for run in lab.starts()) == keys


@pytest.mark.parametrize("how", ["freeze", "kill"])
async def test_dead_worker_is_noticed_though_the_databases_clock_was_set_back(
    how: str,
    make_lab: MakeLab,
    connection: Connection,
    wait_until: WaitUntil,
    record_figure: Callable[..., None],
) -> None:
    lab = await make_lab(lease_s=LEASE_S, renew_s=0.5)
    victim = lab.start_worker(concurrency=1)
    await lab.wait_ready()
    await lab.defer("gate", "job")
    await wait_until(lambda: len(lab.starts()) == 1)
    lab.start_worker(concurrency=1)
    await lab.wait_ready()
    victim.freeze()
    died_s = time.monotonic()
    await jump(connection, -HOUR_S)  # its lease ends in an hour
    if how == "kill":
        victim.kill()
    await wait_until(lambda: len(lab.starts()) == 2, LEASE_S + SWEEPS_S)
    record_figure(f"started again after ({how})", time.monotonic() - died_s, "s")
    lab.open_gate("job", run=2)
    await wait_until(lambda: is_done(lab))


async def test_due_times_go_by_the_databases_clock_when_it_jumps(
    make_lab: MakeLab, connection: Connection, wait_until: WaitUntil
) -> None:
    lab = await make_lab(lease_s=30.0, renew_s=1.0)
    lab.start_worker(fetch_job_polling_interval=0.5)
    await lab.wait_ready()
    await lab.defer("work", "soon", schedule_in_s=HOUR_S / 2)
    await lab.defer("work", "late", schedule_in_s=2 * HOUR_S)
    await jump(connection, HOUR_S)
    await wait_until(lambda: [run.key for run in lab.starts()] == ["soon"])
    await jump(connection, -HOUR_S)
    await lab.defer("work", "now")
    await wait_until(lambda: [run.key for run in lab.starts()] == ["soon", "now"])
    await jump(connection, 2 * HOUR_S)
    await wait_until(lambda: is_done(lab))
    assert [run.key for run in lab.starts()] == ["soon", "now", "late"]


@pytest.fixture
def offset(tmp_path: Path) -> Path:
    """The file that says by how many seconds a worker's wall clock is wrong."""
    offset = tmp_path / "offset"
    set_clock(offset, 0)
    return offset


@pytest.mark.parametrize("seconds", [HOUR_S, -HOUR_S])
async def test_no_tick_is_deferred_twice_when_a_workers_clock_jumps(
    seconds: float,
    offset: Path,
    tmp_path: Path,
    connection: Connection,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    right = tmp_path / "right"
    set_clock(right, 0)
    jumping = {"CLOCK_OFFSET": str(offset)}
    steady = {"CLOCK_OFFSET": str(right)}
    make_worker_process("tests.durability.clock_app", environment=jumping)
    make_worker_process("tests.durability.clock_app", environment=steady)
    await wait_until(lambda: more_ticks(connection, 3))
    set_clock(offset, seconds)
    ticked = await ticks(connection)
    await wait_until(lambda: more_ticks(connection, len(ticked) + 3))
    set_clock(offset, 0)
    ticked = await ticks(connection)
    await wait_until(lambda: more_ticks(connection, len(ticked) + 3))
    # A worker that starts while its clock is wrong has no memory of what was.
    set_clock(offset, seconds)
    make_worker_process("tests.durability.clock_app", environment=jumping)
    ticked = await ticks(connection)
    await wait_until(lambda: more_ticks(connection, len(ticked) + 3))
    ticked = await ticks(connection)
    assert len(ticked) == len(set(ticked)), "a tick was deferred twice"


async def test_clock_of_a_worker_changes_neither_its_waits_nor_its_lease(
    offset: Path,
    connection: Connection,
    make_worker_process: MakeWorkerProcess,
    wait_until: WaitUntil,
) -> None:
    worker = make_worker_process(
        "tests.durability.clock_app",
        environment={"CLOCK_OFFSET": str(offset)},
        queues=["default"],
        fetch_job_polling_interval=600.0,
    )
    await worker.wait_ready()
    registered = await last_seen(connection)
    for seconds in (HOUR_S, -HOUR_S, 0):
        set_clock(offset, seconds)
        [job_id] = await defer(connection, new_job(task="note"))
        await wait_until(lambda job_id=job_id: is_status(connection, job_id, "succeeded"))
        seen = await last_seen(connection)
        await wait_until(lambda seen=seen: renewed_since(connection, seen))
    assert (await last_seen(connection)).keys() == registered.keys()


async def test_late_worker_defers_no_tick_that_was_deferred_an_hour_ago(
    connection: Connection,
) -> None:
    now = 1_800_000_000
    tick = {"task": "tick", "periodic_id": ""}
    for back in (2 * 86400, HOUR_S, 0):
        assert await run(connection, "tick", **tick, defer_timestamp=now - back) != []
        await connection.execute(*ticked(tick, now - back))
    assert await run(connection, "tick", **tick, defer_timestamp=now - HOUR_S) == []
    cursor = await connection.execute("select defer_timestamp from forthwith.periodic_defer")
    assert sorted(await cursor.fetchall()) == [(now - HOUR_S,), (now,)], "a day is remembered"


def set_clock(offset: Path, seconds: float) -> None:
    """Set a worker's wall clock to be wrong by so much."""
    offset.write_text(str(seconds))


def ticked(tick: dict[str, Any], timestamp: int) -> Any:
    """Return the statement that notes a tick's job, with its parameters."""
    return statements()["ticked"], {**tick, "defer_timestamp": timestamp, "job_id": 1}


async def ticks(connection: Connection) -> list[int]:
    """Return the timestamps of all ticks that have become jobs."""
    cursor = await connection.execute(
        "select (args ->> 'timestamp')::bigint from forthwith.job where task = 'tick' union all"
        " select (args ->> 'timestamp')::bigint from forthwith.finished_job where task = 'tick'"
    )
    return [timestamp for (timestamp,) in await cursor.fetchall()]


async def more_ticks(connection: Connection, count: int) -> bool:
    """Whether so many ticks have become jobs."""
    return len(await ticks(connection)) >= count


async def is_done(lab: Lab) -> bool:
    """Whether no job is left."""
    return await lab.unfinished() == 0


async def is_status(connection: Connection, job_id: int, expected: str) -> bool:
    """Whether the job has come so far."""
    return await status(connection, job_id) == expected
