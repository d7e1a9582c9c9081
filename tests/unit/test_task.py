"""Tasks, blueprints and deferrers, on Procrastinate's own in-memory connector."""

from __future__ import annotations

import asyncio
import datetime
import logging
from typing import TYPE_CHECKING, Any

import procrastinate
import procrastinate.testing
import pytest

from forthwith.blueprint import Blueprint
from forthwith.deferrer import JobDeferrer, JobToDefer, configure_task
from forthwith.errors import (
    AlreadyEnqueued,
    InvalidArgument,
    MiddlewareKindMismatch,
    TaskAlreadyRegistered,
    UnboundTaskError,
)
from forthwith.retry import ExponentialBackoffStrategy
from forthwith.task import CRASHES_MAX, Task, crashes_max_of, timeout_s_of

if TYPE_CHECKING:
    from forthwith.context import JobContext


class MemoryApp(Blueprint, procrastinate.App):
    """An app with our decorator over Procrastinate's job manager and in-memory connector."""

    connector: procrastinate.testing.InMemoryConnector

    def __init__(self) -> None:
        super().__init__(connector=procrastinate.testing.InMemoryConnector())


@pytest.fixture
def memory() -> MemoryApp:
    return MemoryApp()


@pytest.fixture
def send(memory: MemoryApp) -> Task[..., Any, ...]:
    @memory.task(name="send", queue="mail")
    async def send(to: str, urgent: bool = False) -> None: ...

    return send


def stored(app: MemoryApp, job_id: int) -> dict[str, Any]:
    return app.connector.jobs[job_id]


def test_a_bare_decorator_makes_a_task_that_can_still_be_called(memory: MemoryApp) -> None:
    @memory.task
    def double(n: int) -> int:
        """Twice as much."""
        return 2 * n

    assert isinstance(double, Task)
    assert double(4) == 8
    assert double.__doc__ == "Twice as much."
    assert memory.tasks[double.name] is double


def test_a_task_keeps_what_its_decorator_says(memory: MemoryApp) -> None:
    strategy = ExponentialBackoffStrategy(max_attempts=3)

    @memory.task(
        name="report",
        aliases=["old_report"],
        queue="slow",
        priority=-5,
        lock="l",
        queueing_lock="q",
        retry=strategy,
        pass_context=True,
        timeout=1.5,
        crashes_max=7,
    )
    def report(context: JobContext) -> None: ...

    assert memory.tasks["report"] is memory.tasks["old_report"] is report
    assert (report.queue, report.priority, report.lock, report.queueing_lock) == (
        "slow",
        -5,
        "l",
        "q",
    )
    assert report.retry_strategy is strategy
    assert report.pass_context
    assert (timeout_s_of(report), report.on_crash, crashes_max_of(report)) == (1.5, "retry", 7)


def test_a_task_that_must_not_run_twice_fails_at_its_first_crash(memory: MemoryApp) -> None:
    @memory.task(on_crash="fail", crashes_max=7)
    def charge() -> None: ...

    assert crashes_max_of(charge) == 1
    assert charge.configure().job == JobToDefer(
        task_name=charge.name, queue="default", lock=None, queueing_lock=None, crashes_max=1
    )


def test_defer_stores_the_job_and_returns_its_id(
    memory: MemoryApp, send: Task[..., Any, ...]
) -> None:
    job = stored(memory, send.defer(to="ada", urgent=True))
    assert (job["task_name"], job["queue_name"]) == ("send", "mail")
    assert job["args"] == {"to": "ada", "urgent": True}


async def test_defer_async_stores_the_job_and_returns_its_id(
    memory: MemoryApp, send: Task[..., Any, ...]
) -> None:
    assert stored(memory, await send.defer_async(to="ada"))["args"] == {"to": "ada"}


async def test_batches_keep_their_order(memory: MemoryApp, send: Task[..., Any, ...]) -> None:
    ids = await send.batch_defer_async({"to": "ada"}, {"to": "grace"}, {"to": "edsger"})
    names = [stored(memory, job_id)["args"]["to"] for job_id in ids]
    assert names == ["ada", "grace", "edsger"]


def test_batches_keep_their_order_without_a_loop(
    memory: MemoryApp, send: Task[..., Any, ...]
) -> None:
    ids = send.configure(task_kwargs={"urgent": True}).batch_defer({"to": "a"}, {"to": "b"})
    assert [stored(memory, job_id)["args"] for job_id in ids] == [
        {"to": "a", "urgent": True},
        {"to": "b", "urgent": True},
    ]


def test_configured_options_win_over_the_tasks(
    memory: MemoryApp, send: Task[..., Any, ...]
) -> None:
    due = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
    deferrer = send.configure(
        queue="other", priority=3, lock="l", queueing_lock="q", schedule_at=due
    )
    assert isinstance(deferrer, JobDeferrer)
    job = stored(memory, deferrer.defer(to="ada"))
    assert (job["queue_name"], job["priority"]) == ("other", 3)
    assert (job["lock"], job["queueing_lock"], job["scheduled_at"]) == ("l", "q", due)


def test_none_stands_for_the_tasks_own_option(memory: MemoryApp) -> None:
    @memory.task(queue="mail", priority=2, lock="l", queueing_lock="q")
    def task() -> None: ...

    job = task.configure(queue=None, priority=None, lock=None, queueing_lock=None).job
    assert (job.queue, job.priority, job.lock, job.queueing_lock) == ("mail", 2, "l", "q")


def test_zero_is_a_priority_of_its_own(memory: MemoryApp) -> None:
    @memory.task(priority=5)
    def task() -> None: ...

    assert task.configure(priority=0).job.priority == 0


def test_a_second_waiting_job_with_one_queueing_lock_is_refused(
    send: Task[..., Any, ...],
) -> None:
    send.configure(queueing_lock="once").defer(to="ada")
    with pytest.raises(AlreadyEnqueued):
        send.configure(queueing_lock="once").defer(to="ada")


def test_options_of_configure_may_be_called_like_anything(memory: MemoryApp) -> None:
    @memory.task
    def task(**options: Any) -> None: ...

    job_id = task.configure().defer(self=1, job=2, connection=3)
    assert stored(memory, job_id)["args"] == {"self": 1, "job": 2, "connection": 3}


def test_a_changed_job_shows_its_new_arguments(send: Task[..., Any, ...]) -> None:
    job = send.configure().make_new_job(to="ada")
    assert "ada" in job.call_string
    changed = job.evolve(id=7, task_kwargs={"to": "eve"})
    assert isinstance(changed, JobToDefer)
    assert changed.call_string == "send[7](to='eve')"


def test_a_configured_jobs_arguments_are_the_callers_no_more(
    send: Task[..., Any, ...],
) -> None:
    arguments: dict[str, Any] = {"to": "ada"}
    deferrer = send.configure(task_kwargs=arguments)
    arguments["to"] = "eve"
    deferrer.make_new_job(urgent=True)
    assert deferrer.job.task_kwargs == {"to": "ada"}


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("lok", "l"),
        ("timeout", 5),
        ("queue", ""),
        ("queue", 3),
        ("queue", "a\0"),
        ("lock", ""),
        ("lock", 7),
        ("lock", "x" * 513),
        ("queueing_lock", b"q"),
        ("priority", "high"),
        ("priority", True),
        ("priority", 2**31),
        ("task_kwargs", [1]),
        ("task_kwargs", {1: 2}),
        ("schedule_at", datetime.datetime(2030, 1, 1)),  # noqa: DTZ001
        ("schedule_in", 5),
    ],
)
def test_a_wrong_option_is_refused_by_its_name(
    send: Task[..., Any, ...], option: str, value: Any
) -> None:
    with pytest.raises(InvalidArgument) as refused:
        send.configure(**{option: value})
    assert refused.value.argument == option


def test_arguments_by_position_are_refused_rather_than_dropped(memory: MemoryApp) -> None:
    @memory.task
    def task(n: int) -> None: ...

    with pytest.raises(InvalidArgument, match="by its name"):
        task.defer(1)
    with pytest.raises(InvalidArgument, match="by its name"):
        asyncio.run(task.defer_async(1))
    assert not memory.connector.jobs


def test_a_batch_of_anything_but_dicts_is_refused(send: Task[..., Any, ...]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        send.batch_defer({"to": "ada"}, "eve")  # type: ignore[arg-type]
    assert refused.value.argument == "task_kwargs[1]"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("name", ""),
        ("name", "x" * 129),
        ("name", 3),
        ("aliases", "old"),
        ("aliases", [""]),
        ("queue", ""),
        ("queue", None),
        ("priority", None),
        ("priority", 1.5),
        ("lock", ""),
        ("queueing_lock", "\0"),
        ("retry", -1),
        ("retry", "5"),
        ("retry", None),
        ("retry", ExponentialBackoffStrategy),
        ("pass_context", "yes"),
        ("timeout", 0),
        ("timeout", -1),
        ("timeout", float("nan")),
        ("timeout", "5"),
        ("timeout", True),
        ("on_crash", "explode"),
        ("on_crash", None),
        ("on_crash", []),
        ("crashes_max", 0),
        ("crashes_max", 2.0),
        ("crashes_max", 2**15),
        ("crashes_max", None),
    ],
)
def test_a_wrong_decorator_option_is_refused_by_its_name(
    memory: MemoryApp, option: str, value: Any
) -> None:
    options: dict[str, Any] = {"name": "task", option: value}
    before = set(memory.tasks)
    with pytest.raises(InvalidArgument) as refused:
        memory.task(**options)(lambda: None)
    assert refused.value.argument == option
    assert set(memory.tasks) == before


def test_an_unknown_decorator_option_is_a_type_error(memory: MemoryApp) -> None:
    with pytest.raises(TypeError, match="timeot"):
        memory.task(timeot=5)(lambda: None)  # type: ignore[call-overload]


def test_a_name_passed_by_position_is_refused(memory: MemoryApp) -> None:
    with pytest.raises(InvalidArgument, match="name=") as refused:
        memory.task("send")  # type: ignore[call-overload]
    assert refused.value.argument == "task"


def test_a_name_is_taken_once(memory: MemoryApp, send: Task[..., Any, ...]) -> None:
    with pytest.raises(TaskAlreadyRegistered):
        memory.task(name="send")(lambda: None)


def test_middleware_must_match_its_task(memory: MemoryApp) -> None:
    async def around(call_next: Any, context: Any, worker: Any) -> Any:
        return await call_next()

    with pytest.raises(MiddlewareKindMismatch):
        memory.task(name="task", task_middleware=[around])(lambda: None)


def test_a_blueprints_tasks_work_once_it_is_in_an_app(memory: MemoryApp) -> None:
    blueprint = Blueprint()

    @blueprint.task(name="clean", timeout=5)
    def clean() -> None: ...

    with pytest.raises(UnboundTaskError):
        clean.defer()
    memory.add_tasks_from(blueprint, namespace="house")
    assert stored(memory, clean.defer())["task_name"] == "house:clean"
    assert timeout_s_of(clean) == 5


def test_procrastinates_own_blueprints_work_in_an_app(memory: MemoryApp) -> None:
    blueprint = procrastinate.Blueprint()

    @blueprint.task(name="stock")
    def stock() -> None: ...

    memory.add_tasks_from(blueprint, namespace="old")
    assert stored(memory, stock.defer())["task_name"] == "old:stock"
    assert timeout_s_of(stock) is None
    assert crashes_max_of(stock) == CRASHES_MAX


def test_a_periodic_task_is_registered(memory: MemoryApp) -> None:
    @memory.periodic(cron="* * * * *")
    @memory.task(name="tick")
    def tick(timestamp: int) -> None: ...

    assert ("tick", "") in memory.periodic_registry.periodic_tasks


@pytest.mark.parametrize("cron", ["", "nope", "61 * * * *", "* * * *", "0 0 30 2 *", None, 5])
def test_a_cron_expression_that_never_comes_true_is_refused(memory: MemoryApp, cron: Any) -> None:
    with pytest.raises(InvalidArgument) as refused:
        memory.periodic(cron=cron)
    assert refused.value.argument == "cron"


def test_a_wrong_option_of_a_periodic_task_is_refused(memory: MemoryApp) -> None:
    with pytest.raises(InvalidArgument, match="did you mean lock"):
        memory.periodic(cron="* * * * *", lok="l")  # type: ignore[call-arg]


def test_a_job_of_an_unknown_task_is_configured_by_name(memory: MemoryApp) -> None:
    deferrer = configure_task(
        name="elsewhere", job_manager=memory.job_manager, queue="far", crashes_max=2
    )
    assert deferrer.make_new_job(a=1) == JobToDefer(
        task_name="elsewhere",
        queue="far",
        lock=None,
        queueing_lock=None,
        task_kwargs={"a": 1},
        crashes_max=2,
    )
    assert stored(memory, deferrer.defer(a=1))["task_name"] == "elsewhere"


@pytest.mark.parametrize("options", [{"lok": "l"}, {"name": ""}, {"crashes_max": 0}])
def test_a_wrong_option_for_an_unknown_task_is_refused(
    memory: MemoryApp, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidArgument):
        configure_task(**{"name": "elsewhere", "job_manager": memory.job_manager, **options})


def test_logs_name_the_task_and_the_ids_but_never_the_arguments(
    send: Task[..., Any, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ids = send.batch_defer({"to": "secret-1"}, {"to": "secret-2"})
    record = next(r for r in caplog.records if getattr(r, "action", None) == "jobs_deferred")
    assert (record.count, record.task, record.queue, record.job_ids) == (  # type: ignore[attr-defined]
        2,
        "send",
        "mail",
        ids,
    )
    assert not any("secret" in repr(vars(record)) for record in caplog.records)
