"""Procrastinate's tasks and blueprints."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import TYPE_CHECKING, Any

import procrastinate
import pytest

import forthwith
from forthwith.errors import TaskAlreadyRegistered, UnboundTaskError
from tests.support.workers import run_until_idle, status

if TYPE_CHECKING:
    from collections.abc import Awaitable


async def test_async_and_sync_tasks_run(app: forthwith.App) -> None:
    threads: dict[str, int] = {}

    @app.task
    async def asynchronous(a: int, b: int) -> None:
        threads[f"async {a} {b}"] = threading.get_ident()

    @app.task
    def synchronous(a: int, b: int) -> None:
        threads[f"sync {a} {b}"] = threading.get_ident()

    await asynchronous.defer_async(a=1, b=2)
    await synchronous.defer_async(a=3, b=4)
    await run_until_idle(app)
    assert threads["async 1 2"] == threading.get_ident()
    assert threads["sync 3 4"] != threading.get_ident()


async def test_sync_tasks_run_side_by_side(app: forthwith.App) -> None:
    together = threading.Barrier(3, timeout=20)

    @app.task(name="meet")
    def meet() -> None:
        together.wait()

    ids = await meet.configure().batch_defer_async({}, {}, {})
    await run_until_idle(app, concurrency=3)
    assert [await status(app, job_id) for job_id in ids] == ["succeeded"] * 3


async def test_a_plain_function_may_return_an_awaitable(app: forthwith.App) -> None:
    ran = []

    async def work(number: int) -> None:
        ran.append(number)

    @app.task(name="plain")
    def plain(number: int) -> Awaitable[None]:
        return work(number)

    await plain.defer_async(number=5)
    await run_until_idle(app)
    assert ran == [5]


async def test_calling_a_task_calls_the_function(app: forthwith.App) -> None:
    @app.task
    def add(a: int, b: int) -> int:
        """Add."""
        return a + b

    @app.task
    async def double(a: int) -> int:
        return 2 * a

    assert add(1, b=2) == 3
    assert await double(4) == 8
    assert add.__doc__ == "Add."


async def test_a_task_is_named_by_its_path_unless_it_says_otherwise(app: forthwith.App) -> None:
    @app.task
    def by_path() -> None: ...

    @app.task(name="by.name")
    def by_name() -> None: ...

    assert by_path.name.startswith("tests.acceptance.test_tasks.")
    assert by_path.name.endswith("by_path")
    assert by_path.full_path == by_path.name
    assert by_name.name == "by.name"
    with pytest.raises(TaskAlreadyRegistered):
        app.task(name="by.name")(lambda: None)


async def test_jobs_deferred_under_an_old_name_run(app: forthwith.App) -> None:
    ran = []

    @app.task(name="new", aliases=["old", "older"], pass_context=True)
    async def new(context: forthwith.JobContext) -> None:
        ran.append((context.job.task_name, context.task.name))

    app.add_task_alias(new, "oldest")
    for name in ("new", "old", "older", "oldest"):
        job = procrastinate.jobs.Job(queue="default", lock=None, queueing_lock=None, task_name=name)
        await app.job_manager.defer_job_async(job)
    await run_until_idle(app)
    assert ran == [(name, "new") for name in ("new", "old", "older", "oldest")]


async def test_a_task_has_the_attributes_that_procrastinate_documents(app: forthwith.App) -> None:
    strategy = forthwith.RetryStrategy(max_attempts=2)

    @app.task(
        name="full",
        aliases=["a"],
        retry=strategy,
        pass_context=True,
        queue="q",
        priority=4,
        lock="l",
        queueing_lock="ql",
    )
    async def full(context: forthwith.JobContext) -> None: ...

    assert isinstance(full, procrastinate.tasks.Task)
    assert (full.name, full.aliases, full.queue, full.priority) == ("full", ["a"], "q", 4)
    assert (full.lock, full.queueing_lock, full.pass_context) == ("l", "ql", True)
    assert full.retry_strategy is strategy
    assert full.blueprint is app
    assert full.task_middleware == []
    assert app.tasks["full"] is app.tasks["a"]


async def test_the_context_has_what_procrastinate_documents(app: forthwith.App) -> None:
    seen: list[forthwith.JobContext] = []

    @app.task(name="look", pass_context=True, queue="q", lock="l", priority=2)
    async def look(context: forthwith.JobContext, number: int) -> None:
        seen.append(context)

    job_id = await look.configure(queueing_lock="ql").defer_async(number=7)
    await run_until_idle(app, name="ada", queues=["q"], additional_context={"extra": 1})
    (context,) = seen
    assert isinstance(context, procrastinate.JobContext)
    assert context.app is app
    assert context.task is look
    assert context.worker_name == "ada"
    assert list(context.worker_queues or []) == ["q"]
    assert context.queues_display == "queues q"
    assert context.additional_context == {"extra": 1}
    assert isinstance(context.start_timestamp, float)
    assert context.should_abort() is False
    assert context.abort_reason() is None
    job = context.job
    assert (job.id, job.status, job.queue, job.priority) == (job_id, "doing", "q", 2)
    assert (job.lock, job.queueing_lock, job.attempts) == ("l", "ql", 0)
    assert (job.task_name, job.task_kwargs) == ("look", {"number": 7})
    assert job.worker_id is not None
    assert job.call_string == f"look[{job_id}](number=7)"
    assert job.log_context()["call_string"] == job.call_string
    changed = context.evolve(worker_name="bob")
    assert (changed.worker_name, changed.job, type(changed)) == ("bob", job, type(context))


async def test_each_job_gets_its_own_additional_context(app: forthwith.App) -> None:
    seen = []

    @app.task(name="spoil", pass_context=True)
    async def spoil(context: forthwith.JobContext) -> None:
        seen.append(dict(context.additional_context))
        context.additional_context["spoilt"] = True

    await spoil.configure().batch_defer_async({}, {})
    await run_until_idle(app, additional_context={"shared": 1})
    assert seen == [{"shared": 1}, {"shared": 1}]


async def test_what_a_job_sets_in_its_context_variables_is_its_own(app: forthwith.App) -> None:
    request: contextvars.ContextVar[int] = contextvars.ContextVar("request", default=0)
    seen = []

    @app.task(name="async_set")
    async def async_set(number: int) -> None:
        seen.append(request.get())
        request.set(number)

    @app.task(name="sync_set")
    def sync_set(number: int) -> None:
        seen.append(request.get())
        request.set(number)

    for task in (async_set, sync_set):
        await task.batch_defer_async({"number": 1}, {"number": 2})
    await run_until_idle(app)
    assert seen == [0, 0, 0, 0]


async def test_asyncio_works_in_a_task_as_anywhere(app: forthwith.App) -> None:
    seen = []

    @app.task(name="structured")
    async def structured() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        with pytest.raises(ExceptionGroup):
            await together()
        seen.append(await asyncio.to_thread(lambda: "thread"))

    async def together() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.Event().wait())
            group.create_task(fail())

    async def fail() -> None:
        raise ValueError

    ids = await structured.configure().batch_defer_async({}, {})
    await run_until_idle(app)
    assert seen == ["thread", "thread"]
    assert [await status(app, job_id) for job_id in ids] == ["succeeded", "succeeded"]


async def test_blueprints_bring_their_tasks_under_a_namespace(app: forthwith.App) -> None:
    ran = []
    inner, outer = forthwith.Blueprint(), forthwith.Blueprint()

    @inner.task(name="feed", aliases=["old_feed"])
    async def feed() -> None:
        ran.append("fed")

    with pytest.raises(UnboundTaskError):
        feed.defer()
    outer.add_tasks_from(inner, namespace="cat")
    app.add_tasks_from(outer, namespace="animals")
    assert feed.name == "animals:cat:feed"
    assert feed.aliases == ["animals:cat:old_feed"]
    await feed.defer_async()
    await app.configure_task("animals:cat:old_feed", allow_unknown=False).defer_async()
    await run_until_idle(app)
    assert ran == ["fed", "fed"]


async def test_a_namespace_is_taken_once(app: forthwith.App) -> None:
    for expected in (None, TaskAlreadyRegistered):
        blueprint = forthwith.Blueprint()
        blueprint.task(name="same")(lambda: None)
        if expected is None:
            app.add_tasks_from(blueprint, namespace="n")
        else:
            with pytest.raises(expected):
                app.add_tasks_from(blueprint, namespace="n")


async def test_procrastinates_own_blueprints_run_in_a_forthwith_app(app: forthwith.App) -> None:
    seen: list[Any] = []
    blueprint = procrastinate.Blueprint()

    @blueprint.task(name="stock", pass_context=True, retry=1)
    async def stock(context: procrastinate.JobContext, number: int) -> None:
        seen.append((number, context.job.attempts))
        if not context.job.attempts:
            raise ValueError

    app.add_tasks_from(blueprint, namespace="old")
    job_id = await stock.defer_async(number=1)
    await run_until_idle(app)
    assert seen == [(1, 0), (1, 1)]
    assert await status(app, job_id) == "succeeded"


async def test_an_unknown_task_leaves_its_job_waiting_for_a_worker_that_knows_it(
    app: forthwith.App, database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = await app.configure_task("elsewhere").defer_async()
    await run_until_idle(app)
    assert await status(app, job_id) == "todo"
    assert "TaskNotFound" in caplog.text
    async with forthwith.App(database_url).open_async() as knowing:
        knowing.task(name="elsewhere")(lambda: None)
        await run_until_idle(knowing)
    job = await app.job_manager.get_job_async(job_id)
    assert job is not None
    assert (job.status, job.attempts) == ("succeeded", 1)
