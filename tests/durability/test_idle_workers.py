"""Idle workers renew and sweep seldom, and lose nothing by it: whoever may have jobs is watched closely."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from psycopg.rows import scalar_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from forthwith.verify.lab import Lab

    MakeLab = Callable[..., Awaitable[Lab]]
    WaitUntil = Callable[..., Awaitable[Any]]
    RecordFigure = Callable[..., None]

RENEW_S = 0.2
QUIET_S = 10.0
RUN_AGAIN_WITHIN_S = 5.0
INTERVALS = "select renew_interval_s from worker order by id"


async def intervals(lab: Lab) -> list[float]:
    """In how many seconds each worker means to renew again."""
    connection = await lab.connect()
    async with connection, connection.cursor(row_factory=scalar_row) as cursor:
        await cursor.execute(f"set search_path to {lab.schema}")
        return await (await cursor.execute(INTERVALS)).fetchall()


async def test_killed_worker_that_has_just_been_idle_is_rescued_as_soon_as_any(
    make_lab: MakeLab, wait_until: WaitUntil, record_figure: RecordFigure
) -> None:
    lab = await make_lab(lease_s=3 * QUIET_S, renew_s=RENEW_S)
    workers = {each.name: each for each in (lab.start_worker(), lab.start_worker())}

    async def all_are(interval_s: float) -> bool:
        return await intervals(lab) == [interval_s] * 2

    await wait_until(lambda: all_are(QUIET_S))
    job_id = await lab.defer("gate", "key")
    await wait_until(lambda: lab.starts(job_id))
    first = lab.starts(job_id)[0].worker

    async def one_is_watched() -> bool:
        return RENEW_S in await intervals(lab)

    await wait_until(one_is_watched)
    workers[first].kill()
    killed_s = time.monotonic()
    await wait_until(lambda: len(lab.starts(job_id)) == 2)
    took_s = time.monotonic() - killed_s
    assert took_s < QUIET_S / 2, "the other one went on looking seldom"
    record_figure("killed right after it had been idle: runs elsewhere after", took_s, "s")
    assert lab.starts(job_id)[1].worker != first
    lab.open_gate("key", run=2)
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()


async def test_worker_with_a_running_job_goes_on_renewing_often(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(lease_s=3 * QUIET_S, renew_s=RENEW_S)
    lab.start_worker(queues=["busy"])
    lab.start_worker(queues=["idle"])
    job_id = await lab.defer("gate", "key", queue="busy")
    await wait_until(lambda: lab.starts(job_id))

    async def the_idle_one_is_quiet() -> bool:
        return sorted(await intervals(lab)) == [RENEW_S, QUIET_S]

    await wait_until(the_idle_one_is_quiet)
    lab.open_gate("key")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
