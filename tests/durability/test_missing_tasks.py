"""Workers that lack a task, as during a rolling deploy: its jobs wait for one that has it."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.errors import AlreadyEnqueued
from forthwith.store.postgres import PostgresStore
from tests.support.workers import count, run_until_idle, running_worker, status

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    import forthwith
    from forthwith.verify.lab import Lab

    MakeLab = Callable[..., Awaitable[Lab]]
    WaitUntil = Callable[..., Awaitable[Any]]
    Connection = psycopg.AsyncConnection[Any]

OLDER = "tests.durability.older_worker"
UNKNOWN = 1_000
IDLE_S = 1.0
IDLE_LOOKS_MAX = 10
PROMPT_S = 10.0


class TestOneWorker:
    @pytest.fixture
    def calls(self, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
        """How often the workers of this process have asked the database what."""
        calls: Counter[str] = Counter()
        execute = PostgresStore._on

        async def counting(
            self: PostgresStore, connection: Any, name: str, /, **parameters: Any
        ) -> Any:
            calls[name] += 1
            return await execute(self, connection, name, **parameters)

        monkeypatch.setattr(PostgresStore, "_on", counting)
        return calls

    @pytest.mark.parametrize("tasks", [1, 40])
    @pytest.mark.parametrize("priority", [0, 10])
    async def test_jobs_behind_a_thousand_unknown_ones_run_promptly_and_without_a_busy_loop(
        self,
        app: forthwith.App,
        connection: Connection,
        wait_until: WaitUntil,
        caplog: pytest.LogCaptureFixture,
        calls: Counter[str],
        record_figure: Callable[[str, float, str], None],
        tasks: int,
        priority: int,
    ) -> None:
        caplog.set_level(logging.WARNING, logger="forthwith")

        @app.task(name="known")
        async def known() -> None: ...

        for number in range(tasks):
            unknown = app.configure_task(f"unknown {number}", priority=priority)
            await unknown.batch_defer_async(*[{}] * (UNKNOWN // tasks))
        ids = await known.batch_defer_async(*[{}] * 50)
        async with running_worker(app, concurrency=5):
            await wait_until(lambda: are_succeeded(app, ids), PROMPT_S)
            late = await known.defer_async()
            await wait_until(lambda: are_succeeded(app, [late]), PROMPT_S)
            await wait_until(lambda: is_given_back(connection, UNKNOWN))
            before = calls.copy()
            await asyncio.sleep(IDLE_S)  # not waiting for a fact: this is what is measured
            idle = calls - before
        tokens = await tokens_of_live_jobs(connection)
        assert sum(tokens.values()) == UNKNOWN
        assert max(tokens) <= 2, "a job that was claimed and given back is not claimed again"
        released = sum(jobs for token, jobs in tokens.items() if token)
        record_figure(f"{tasks} unknown tasks: claimed and given back", released, "jobs")
        record_figure(f"{tasks} unknown tasks: claim statements when idle", idle["claim"], "claims")
        assert idle["release"] == 0
        # By polling it looks once in five seconds.
        assert idle["claim"] + idle["outlook"] < IDLE_LOOKS_MAX
        warnings = [r for r in caplog.records if "does not know task" in r.getMessage()]
        assert len(warnings) <= tasks
        assert len({record.getMessage() for record in warnings}) == len(warnings), "once per task"
        assert await count(app, "todo") == UNKNOWN
        assert await attempts_of_live_jobs(connection) == {0}

    async def test_worker_that_does_not_wait_leaves_unknown_jobs(
        self, app: forthwith.App, connection: Connection
    ) -> None:
        await app.configure_task("unknown").batch_defer_async(*[{}] * UNKNOWN)
        await run_until_idle(app, concurrency=5)
        assert await count(app, "todo") == UNKNOWN
        assert await attempts_of_live_jobs(connection) == {0}

    async def test_unknown_head_of_a_line_holds_its_line_and_no_other(
        self, app: forthwith.App, connection: Connection, wait_until: WaitUntil
    ) -> None:
        ran: list[str] = []

        @app.task(name="known")
        async def known(key: str) -> None:
            ran.append(key)

        heads = [
            await app.configure_task("unknown", lock=f"lock {n}").defer_async() for n in range(20)
        ]
        held = [
            await known.configure(lock=f"lock {n}").defer_async(key=f"held {n}") for n in range(20)
        ]
        free = [
            await known.configure(lock=f"free {n}").defer_async(key=f"free {n}") for n in range(20)
        ]
        async with running_worker(app, concurrency=5):
            await wait_until(lambda: are_succeeded(app, free), PROMPT_S)
            await wait_until(lambda: is_given_back(connection, 40))
        assert {await status(app, job_id) for job_id in (*heads, *held)} == {"todo"}
        app.task(name="unknown")(raise_nothing)  # deployed
        await run_until_idle(app, concurrency=5)
        assert await count(app, "succeeded") == 60
        assert sorted(ran) == sorted(
            [f"held {n}" for n in range(20)] + [f"free {n}" for n in range(20)]
        )

    async def test_queueing_lock_of_a_job_that_was_given_back_still_holds(
        self, app: forthwith.App, connection: Connection
    ) -> None:
        deferrer = app.configure_task("unknown", queueing_lock="key")
        job_id = await deferrer.defer_async()
        await run_until_idle(app)
        assert await tokens_of_live_jobs(connection) == {2: 1}
        with pytest.raises(AlreadyEnqueued):
            await deferrer.defer_async()
        app.task(name="unknown")(raise_nothing)
        await run_until_idle(app)
        assert await status(app, job_id) == "succeeded"
        assert isinstance(await deferrer.defer_async(), int)

    async def test_abort_of_an_unknown_job_reaches_it(self, app: forthwith.App) -> None:
        job_id = await app.configure_task("unknown").defer_async()
        await run_until_idle(app)
        assert await app.job_manager.cancel_job_by_id_async(job_id, abort=True)
        assert await status(app, job_id) == "cancelled"


class TestRollingDeploy:
    async def test_jobs_pass_from_the_old_workers_to_the_new(
        self,
        make_lab: MakeLab,
        wait_until: WaitUntil,
    ) -> None:
        """Old workers claim what they do not know, die, and are replaced, as workers are."""
        lab = await make_lab(lease_s=1.0, renew_s=0.1)
        old = [start_older(lab, missing="once,transfer,flaky") for _ in range(2)]
        await lab.wait_ready()
        news = await lab.defer_batch("transfer", [{"key": f"new {n}"} for n in range(30)])
        news += [await lab.defer("flaky", f"flaky {n}", lock=f"lock {n % 3}") for n in range(6)]
        news += [await lab.defer("once", f"once {n}", queueing_lock=f"{n}") for n in range(3)]
        olds = await lab.defer_batch("work", [{"key": f"old {n}"} for n in range(30)])
        locked = [await lab.defer("work", f"line {n}", lock=f"lock {n}") for n in range(3)]
        await wait_until(lambda: are_succeeded(lab.app, olds), PROMPT_S)
        old[0].kill()
        assert not [run for run in lab.starts() if run.job_id in (*news, *locked)]
        await lab.wait_ready(lab.start_worker())
        await wait_until(lambda: are_succeeded(lab.app, [*news, *locked]), PROMPT_S)
        verdict = await lab.settle()
        assert verdict.ok, verdict.text()
        attempts = {job.task: job.attempts for job in verdict.history.jobs if job.crashes == 0}
        assert attempts == {"transfer": 1, "flaky": 2, "once": 1, "work": 1}
        assert old[1].output().count("does not know task") <= 3

    async def test_job_that_only_the_new_worker_knows_starts_there_in_seconds(
        self, make_lab: MakeLab, wait_until: WaitUntil
    ) -> None:
        """The old worker is asked first: the new one listens elsewhere, until it sleeps here, too."""
        lab = await make_lab()
        for _ in range(3):
            start_older(lab, missing="work")
        lab.start_worker(fetch_job_polling_interval=60.0)
        await lab.wait_ready()
        for number in range(20):
            job_id = await lab.defer("work", f"key {number}")
            await wait_until(lambda job_id=job_id: lab.starts(job_id), 5.0)
        verdict = await lab.settle()
        assert verdict.ok, verdict.text()

    async def test_crashed_job_waits_for_a_worker_that_knows_it(
        self, make_lab: MakeLab, wait_until: WaitUntil
    ) -> None:
        lab = await make_lab(lease_s=1.0, renew_s=0.1)
        victim = lab.start_worker()
        crashed = await lab.defer("gate", "held")
        await wait_until(lambda: lab.starts(crashed))
        older = start_older(lab, missing="gate")
        await lab.wait_ready(older)
        victim.kill()
        await wait_until(lambda: is_waiting(lab.app, crashed))
        neighbour = await lab.defer("work", "neighbour")
        await wait_until(lambda: are_succeeded(lab.app, [neighbour]), PROMPT_S)
        assert await status(lab.app, crashed) == "todo"
        lab.start_worker()
        await wait_until(lambda: len(lab.starts(crashed)) == 2, PROMPT_S)
        lab.open_gate("held", run=2)
        verdict = await lab.settle()
        assert verdict.ok, verdict.text()
        [job] = [job for job in verdict.history.jobs if job.id == crashed]
        assert (job.status, job.attempts, job.crashes) == ("succeeded", 2, 1)


def start_older(lab: Lab, *, missing: str) -> Any:
    """Start a worker that lacks these tasks."""
    return lab.start_worker(program=OLDER, environment={"MISSING_TASKS": missing})


async def raise_nothing() -> None:
    """Succeed."""


async def are_succeeded(app: forthwith.App, ids: list[int]) -> bool:
    """Whether all of these jobs have succeeded."""
    succeeded = {job.id for job in await app.job_manager.list_jobs_async(status="succeeded")}
    return succeeded.issuperset(ids)


async def is_waiting(app: forthwith.App, job_id: int) -> bool:
    """Whether a job waits."""
    return await status(app, job_id) == "todo"


async def is_given_back(connection: Connection, jobs: int) -> bool:
    """Whether there are that many live jobs, and nobody holds one."""
    cursor = await connection.execute("select count(*), count(worker_id) from forthwith.job")
    return await cursor.fetchone() == (jobs, 0)


async def tokens_of_live_jobs(connection: Connection) -> dict[int, int]:
    """Return how many live jobs have which lease token: two for each claim that was given back."""
    query = "select lease_token, count(*) from forthwith.job group by 1"
    return dict(await (await connection.execute(query)).fetchall())


async def attempts_of_live_jobs(connection: Connection) -> set[int]:
    """Return the numbers of attempts among the live jobs."""
    cursor = await connection.execute("select distinct attempts + crashes from forthwith.job")
    return {attempts for (attempts,) in await cursor.fetchall()}
