"""The database is away for a while: at any moment, for seconds or minutes, or full of others."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from forthwith.engine import claimer
from tests.durability.steady_load import (
    assert_undisturbed,
    defer_again,
    steady_load,
    wait_heard,
    wait_listening,
)
from tests.support.workers import count, running_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import forthwith
    from forthwith.database.embedded import EmbeddedServer
    from forthwith.verify.lab import Lab
    from forthwith.verify.worker_process import LabWorker

    MakeLab = Callable[..., Awaitable[Lab]]
    WaitUntil = Callable[..., Awaitable[Any]]
    RecordFigure = Callable[[str, float, str], None]

RETURN_MAX_S = 10.0
SLOW_POLL_S = 600.0
SLOTS = 45
LINES_A_PURPOSE = 3
PURPOSES = 6
BLOCKED = """
select from pg_stat_activity
where datname = current_database() and application_name = %s and wait_event_type = 'Lock'
"""
DOING = "select count(*) from forthwith.job where worker_id is not null"
TERMINATE_ALL_BUT_LEASES = """
select pg_terminate_backend(pid) from pg_stat_activity
where datname = current_database() and application_name like 'worker-%'
  and pid not in (select pid from pg_locks where locktype = 'advisory')
"""
LONG = [pytest.param(seconds, marks=pytest.mark.soak) for seconds in (60.0, 300.0)]


@pytest.mark.parametrize("for_s", [2.0, *LONG])
async def test_idle_workers_claim_and_listen_again_after_an_outage(
    for_s: float, make_lab: MakeLab, hurt_server: EmbeddedServer, record_figure: RecordFigure
) -> None:
    lab = await make_lab(server=hurt_server)
    workers = [start_with_own_queue(lab) for _ in range(2)]
    await lab.wait_ready()
    await wait_heard(lab, *workers)
    lines = [len(worker.output().splitlines()) for worker in workers]
    async with away(lab, for_s):
        pass
    back_s = time.monotonic()
    await wait_listening(lab, *workers)
    listening_s = time.monotonic() - back_s
    for worker, before in zip(workers, lines, strict=True):
        said = len(worker.output().splitlines()) - before
        assert 0 < said <= PURPOSES * (LINES_A_PURPOSE + for_s / 10)
    await wait_heard(lab, *workers)
    record_figure(f"outage of {for_s:g} s at idle: all listen again", listening_s, "s")
    assert listening_s < RETURN_MAX_S
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()


@pytest.mark.parametrize("for_s", [3.0, *LONG])
async def test_busy_workers_go_on_after_an_outage(
    for_s: float,
    make_lab: MakeLab,
    hurt_server: EmbeddedServer,
    wait_until: WaitUntil,
    record_figure: RecordFigure,
) -> None:
    lab = await make_lab(server=hurt_server)
    workers = [start_with_own_queue(lab) for _ in range(2)]
    await lab.wait_ready()
    long_ones = [await lab.defer("work", f"long {n}", run_s=for_s / 2) for n in range(2)]
    async with steady_load(lab) as load:
        await wait_until(lambda: all(map(lab.starts, long_ones)))
        await wait_until(lambda: len(lab.starts()) > 20)
        async with away(lab, for_s):
            pass
        back_s = time.monotonic()
        await wait_until(lambda: load.last_accepted_s > back_s)
        record_figure(
            f"outage of {for_s:g} s under load: a defer is accepted",
            load.last_accepted_s - back_s,
            "s",
        )
    await wait_heard(lab, *workers)
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)
    assert load.refused > 0


@pytest.mark.parametrize("moment", ["claim", "completion"])
async def test_outage_in_the_middle_of_a_statement(
    moment: str, make_lab: MakeLab, hurt_server: EmbeddedServer, wait_until: WaitUntil
) -> None:
    lab = await make_lab(server=hurt_server)
    job_id = await lab.defer("gate", "a")
    if moment == "completion":
        worker = lab.start_worker()
        await wait_until(lambda: lab.starts(job_id))
    async with away(lab, 1.0, begins=False) as stop:
        blocker = await lab.connect()
        await blocker.execute("begin; lock table forthwith.job in access exclusive mode")
        if moment == "claim":
            worker = lab.start_worker()
        else:
            lab.open_gate("a")
        await wait_until(lambda: is_blocked(lab, worker))
        await stop()
        await blocker.close()
    lab.open_gate("a")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)
    assert len(lab.starts(job_id)) == 1


async def test_outcomes_that_cannot_be_recorded_are_kept_and_no_more_is_claimed(
    app: forthwith.App,
    connection: psycopg.AsyncConnection[Any],
    wait_until: WaitUntil,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(claimer, "BACKLOG_MAX", 200)
    ran: list[int] = []

    @app.task
    async def work(number: int) -> None:
        ran.append(number)

    await work.batch_defer_async(*({"number": number} for number in range(3000)))
    async with running_worker(app, concurrency=10):
        async with connection.transaction():  # claims do not need it
            await connection.execute("lock table forthwith.finished_job in access exclusive mode")
            await wait_until(lambda: len(ran) >= 200)
            before = -1
            while before < len(ran):  # until no more is claimed
                before = len(ran)
                await asyncio.sleep(0.3)
            [(doing,)] = await (await connection.execute(DOING)).fetchall()
        await wait_until(lambda: succeeded(app, 3000))
    assert before < 2500
    assert before <= doing < 2500
    assert sorted(ran) == list(range(3000))


@pytest.mark.soak
async def test_backlog_of_an_endless_outage_is_bounded_in_memory(
    make_lab: MakeLab, wait_until: WaitUntil, record_figure: RecordFigure
) -> None:
    lab = await make_lab()
    worker = lab.start_worker(concurrency=50)
    await lab.wait_ready()
    for batch in range(9):
        await lab.defer_batch("work", [{"key": f"{batch}-{n}"} for n in range(5000)])
    async with await lab.connect() as connection, connection.transaction():
        await connection.execute("lock table forthwith.finished_job in access exclusive mode")
        before_kb = resident_kb(worker)
        # It ran while we deferred, too.
        cursor = await connection.execute("select count(*) from forthwith.finished_job")
        [(recorded,)] = await cursor.fetchall()

        def unrecorded() -> int:
            return len(lab.starts()) - int(recorded)

        await wait_until(lambda: unrecorded() >= claimer.BACKLOG_MAX, deadline_s=120.0)
        before = -1
        while before < unrecorded():
            before = unrecorded()
            await asyncio.sleep(2.0)
        grown_kb = resident_kb(worker) - before_kb
    record_figure("memory of a backlog of 20,000 outcomes", grown_kb / 1024, "MB")
    record_figure("jobs that ran while no outcome could be recorded", before, "jobs")
    assert before < claimer.BACKLOG_MAX + 10_000
    verdict = await lab.settle(within_s=180.0)
    assert verdict.ok, verdict.text()


async def test_sigterm_during_an_outage_ends_the_worker_in_time(
    make_lab: MakeLab, hurt_server: EmbeddedServer, wait_until: WaitUntil
) -> None:
    lab = await make_lab(server=hurt_server, grace_s=1.0)
    worker = lab.start_worker()
    ids = [await lab.defer("gate", key) for key in ("ends", "goes on")]
    await wait_until(lambda: len(lab.starts()) == 2)
    async with away(lab, 0.0):
        lab.open_gate("ends")
        await wait_until(lambda: "Could not record 1 outcomes" in worker.output())
        worker.terminate()
        status = await worker.wait_exit()  # in time? That is in the verdict
    assert status > 0  # what it did could not be recorded
    assert "outcomes are not recorded" in worker.output()
    lab.start_worker()
    await wait_until(lambda: len(lab.starts(ids[1])) == 2)
    for run in (1, 2):
        lab.open_gate("ends", run)
        lab.open_gate("goes on", run)
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()


async def test_worker_that_starts_during_an_outage_says_so_and_fails(
    make_lab: MakeLab, hurt_server: EmbeddedServer
) -> None:
    lab = await make_lab(server=hurt_server)
    async with away(lab, 0.0):
        worker = lab.start_worker()
        assert await worker.wait_exit() > 0
    assert "DatabaseUnavailable" in worker.output()


async def test_workers_get_by_on_the_connections_they_have_while_no_more_are_to_be_had(
    make_lab: MakeLab, hurt_server: EmbeddedServer, wait_until: WaitUntil
) -> None:
    with psycopg.connect(hurt_server.url, autocommit=True) as connection:
        connection.execute(f"alter system set max_connections = {SLOTS}".encode())
    await asyncio.to_thread(hurt_server.stop)
    await asyncio.to_thread(hurt_server.start)
    lab = await make_lab(server=hurt_server)
    workers = [lab.start_worker(concurrency=2) for _ in range(2)]
    await lab.wait_ready()
    held = [await lab.defer("gate", f"held {number}") for number in range(4)]
    await wait_until(lambda: len(lab.starts()) == 4)
    taken: list[psycopg.AsyncConnection[Any]] = [await lab.connect()]
    try:
        with lab.fault("too many clients", "database"):
            while not all("too many clients" in worker.output() for worker in workers):
                await taken[0].execute(TERMINATE_ALL_BUT_LEASES)
                await take_all(lab, taken)
            newcomer = lab.start_worker()
            assert await newcomer.wait_exit() > 0
            assert "too many clients" in newcomer.output()
            lab.open_gate("held 0")
            await asyncio.sleep(lab.settings.lease_s + 1.5)  # longer than a lease
    finally:
        for connection in taken:
            await connection.close()
    await defer_again(lab, "work", "after")
    for number in range(1, 4):
        lab.open_gate(f"held {number}")
    verdict = await lab.settle()
    assert verdict.ok, verdict.text()
    assert_undisturbed(verdict.history)
    assert [len(lab.starts(job_id)) for job_id in held] == [1, 1, 1, 1]


@asynccontextmanager
async def away(
    lab: Lab, for_s: float, *, begins: bool = True
) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Stop the server, and start it when the block has ended and `for_s` seconds have passed.

    With `begins=False` the block stops it itself, by the function that it gets.
    """
    assert lab.server is not None
    server = lab.server
    stopped_s = 0.0

    async def stop() -> None:
        nonlocal stopped_s
        await asyncio.to_thread(server.stop, "immediate")
        stopped_s = time.monotonic()

    with lab.fault("outage", "database"):
        if begins:
            await stop()
        try:
            yield stop
            await asyncio.sleep(max(0.0, stopped_s + for_s - time.monotonic()))
        finally:
            await asyncio.to_thread(server.start)


def start_with_own_queue(lab: Lab) -> LabWorker:
    """Start a worker that also takes the queue of its name, and does not look by itself."""
    name = f"worker-{len(lab.workers) + 1}"
    return lab.start_worker(
        name=name, queues=["default", name], fetch_job_polling_interval=SLOW_POLL_S
    )


async def take_all(lab: Lab, taken: list[psycopg.AsyncConnection[Any]]) -> None:
    """Open connections until there are none left."""
    while True:
        try:
            taken.append(await lab.connect())
        except psycopg.OperationalError:
            return


async def is_blocked(lab: Lab, worker: LabWorker) -> bool:
    """Whether a statement of the worker's waits for a lock."""
    async with await lab.connect() as connection:
        return await (await connection.execute(BLOCKED, [worker.name])).fetchone() is not None


async def succeeded(app: forthwith.App, expected: int) -> bool:
    """Whether that many jobs have succeeded."""
    return await count(app, "succeeded") == expected


def resident_kb(worker: LabWorker) -> int:
    """Return how much memory the process has, in kB."""
    with open(f"/proc/{worker.pid}/status") as status:  # noqa: PTH123
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
