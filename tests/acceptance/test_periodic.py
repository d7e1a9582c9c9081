"""Periodic tasks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import forthwith
from forthwith.errors import (
    AlreadyEnqueued,
    InvalidArgument,
    InvalidTimestamp,
    TaskAlreadyRegistered,
)
from tests.support.workers import running_worker

if TYPE_CHECKING:
    from collections.abc import Callable


async def test_a_tick_is_deferred_once_across_workers(
    database_url: str, wait_until: Callable[..., Any]
) -> None:
    ticks: list[int] = []
    apps = [forthwith.App(database_url) for _ in range(2)]
    for app in apps:

        @app.periodic(cron="* * * * * *")
        @app.task(name="tick")
        async def tick(timestamp: int) -> None:
            ticks.append(timestamp)

    async with apps[0].open_async(), apps[1].open_async():
        async with running_worker(apps[0]), running_worker(apps[1]):
            await wait_until(lambda: len(ticks) >= 3)
        jobs = await apps[0].job_manager.list_jobs_async(task="tick")
    timestamps = [job.task_kwargs["timestamp"] for job in jobs]
    assert len(timestamps) == len(set(timestamps))
    assert len(ticks) == len(set(ticks))


async def test_one_task_may_have_several_schedules(
    app: forthwith.App, wait_until: Callable[..., Any]
) -> None:
    seen: list[dict[str, Any]] = []

    @app.periodic(cron="* * * * * *", periodic_id="a", task_kwargs={"name": "a"}, queue="qa")
    @app.periodic(cron="* * * * * *", periodic_id="b", task_kwargs={"name": "b"}, priority=3)
    @app.task(name="tick", pass_context=True)
    async def tick(context: forthwith.JobContext, timestamp: int, name: str) -> None:
        seen.append({"name": name, "queue": context.job.queue, "priority": context.job.priority})

    async with running_worker(app):
        await wait_until(lambda: {one["name"] for one in seen} == {"a", "b"})
    assert {"name": "a", "queue": "qa", "priority": 0} in seen
    assert {"name": "b", "queue": "default", "priority": 3} in seen
    with pytest.raises(TaskAlreadyRegistered):
        app.periodic(cron="* * * * *", periodic_id="a")(tick)


async def test_a_missed_tick_is_deferred_unless_it_is_too_old(
    app: forthwith.App, wait_until: Callable[..., Any]
) -> None:
    given = {"max_delay": 5}
    assert forthwith.App("postgresql://x/y", periodic_defaults=given).periodic_defaults == given

    @app.periodic(cron="0 0 1 1 *")
    @app.task(name="yearly")
    async def yearly(timestamp: int) -> None: ...

    @app.periodic(cron="* * * * * *")
    @app.task(name="clock", queue="nobody listens")
    async def clock(timestamp: int) -> None: ...

    async def jobs(task: str) -> int:
        return len(await app.job_manager.list_jobs_async(task=task))

    async def ticked_since(before: int) -> bool:
        return await jobs("clock") > before

    for max_delay_s, expected in ((5, 0), (400 * 86400, 1), (400 * 86400, 1)):
        app.periodic_defaults = {"max_delay": max_delay_s}
        before = await jobs("clock")
        async with running_worker(app):
            await wait_until(lambda before=before: ticked_since(before))
        assert await jobs("yearly") == expected


async def test_a_queueing_lock_keeps_ticks_from_piling_up(
    app: forthwith.App, wait_until: Callable[..., Any]
) -> None:
    @app.periodic(cron="* * * * * *")
    @app.task(name="tick", queueing_lock="tick", queue="nobody listens")
    async def tick(timestamp: int) -> None: ...

    @app.periodic(cron="* * * * * *")
    @app.task(name="clock")
    async def clock(timestamp: int) -> None: ...

    async def clocks() -> bool:
        return len(await app.job_manager.list_jobs_async(task="clock")) >= 3

    async with running_worker(app, queues=["default"]):
        await wait_until(clocks)
    assert len(await app.job_manager.list_jobs_async(task="tick")) == 1


async def test_blueprints_bring_their_periodic_tasks(
    app: forthwith.App, wait_until: Callable[..., Any]
) -> None:
    ticked = asyncio.Event()
    blueprint = forthwith.Blueprint()

    @blueprint.periodic(cron="* * * * * *")
    @blueprint.task(name="tick")
    async def tick(timestamp: int) -> None:
        ticked.set()

    app.add_tasks_from(blueprint, namespace="n")
    async with running_worker(app):
        await wait_until(ticked.is_set)


async def test_a_tick_can_be_deferred_by_hand(app: forthwith.App) -> None:
    @app.task(name="tick")
    async def tick(timestamp: int) -> None: ...

    def job(**options: Any) -> Any:
        return tick.configure(**options).make_new_job(timestamp=60)

    defer = app.job_manager.defer_periodic_job
    assert await defer(job(), periodic_id="", defer_timestamp=60) is not None
    assert await defer(job(), periodic_id="", defer_timestamp=60) is None
    assert await defer(job(queueing_lock="l"), periodic_id="b", defer_timestamp=60) is not None
    with pytest.raises(AlreadyEnqueued):
        await defer(job(queueing_lock="l"), periodic_id="c", defer_timestamp=60)
    with pytest.raises(InvalidTimestamp):
        await defer(job(), periodic_id="", defer_timestamp=61)


async def test_a_wrong_cron_expression_is_refused_at_once(app: forthwith.App) -> None:
    with pytest.raises(InvalidArgument, match="cron"):
        app.periodic(cron="every day")
