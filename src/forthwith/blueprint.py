"""Declaring tasks: the decorator that `App` and `Blueprint` share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, TypeVar, overload

import procrastinate
import procrastinate.tasks
from procrastinate.jobs import DEFAULT_PRIORITY, DEFAULT_QUEUE

from forthwith import upstream
from forthwith.deferrer import OPTIONS, ConfigureTaskOptions
from forthwith.errors import InvalidArgument
from forthwith.options import check_known, kind
from forthwith.task import CRASHES_MAX, RESULT_TTL_S, OnCrash, Task

if TYPE_CHECKING:
    from collections.abc import Callable

    from procrastinate.middleware import TaskMiddleware
    from procrastinate.retry import RetryValue
    from typing_extensions import Unpack

    from forthwith.context import JobContext

__all__ = ["Blueprint"]

P = ParamSpec("P")
R = TypeVar("R")
Args = ParamSpec("Args")


class Blueprint(procrastinate.Blueprint):
    """Declares tasks before there is an app; `app.add_tasks_from` adds them to one.

    ```python
    mail = forthwith.Blueprint()

    @mail.task(queue="mail", timeout=30)
    async def send(to: str) -> None: ...

    app.add_tasks_from(mail, namespace="mail")
    ```

    Everything is as in Procrastinate, and its blueprints can be added to a forthwith app too.
    Deferring a task whose blueprint is in no app raises `UnboundTaskError`.
    """

    def __init__(self, *positional: Any, **options: Any) -> None:
        super().__init__(*positional, **options)  # of an app, with several bases: its options
        self.periodic_registry = upstream.discreet_registry()

    @overload  # type: ignore[override]  # our tasks get our JobContext, which has more
    def task(
        self,
        _func: None = None,
        *,
        name: str | None = None,
        aliases: list[str] | None = None,
        retry: RetryValue = False,
        pass_context: Literal[False] = False,
        queue: str = DEFAULT_QUEUE,
        priority: int = DEFAULT_PRIORITY,
        lock: str | None = None,
        queueing_lock: str | None = None,
        task_middleware: list[TaskMiddleware] | None = None,
        timeout: float | None = None,
        on_crash: OnCrash = "retry",
        crashes_max: int = CRASHES_MAX,
        keep_result: bool = False,
        result_ttl: float = RESULT_TTL_S,
    ) -> Callable[[Callable[P, R]], Task[P, R, P]]: ...

    @overload
    def task(
        self,
        _func: None = None,
        *,
        name: str | None = None,
        aliases: list[str] | None = None,
        retry: RetryValue = False,
        pass_context: Literal[True],
        queue: str = DEFAULT_QUEUE,
        priority: int = DEFAULT_PRIORITY,
        lock: str | None = None,
        queueing_lock: str | None = None,
        task_middleware: list[TaskMiddleware] | None = None,
        timeout: float | None = None,
        on_crash: OnCrash = "retry",
        crashes_max: int = CRASHES_MAX,
        keep_result: bool = False,
        result_ttl: float = RESULT_TTL_S,
    ) -> Callable[
        [Callable[Concatenate[JobContext, P], R]], Task[Concatenate[JobContext, P], R, P]
    ]: ...

    @overload
    def task(self, _func: Callable[P, R]) -> Task[P, R, P]: ...

    def task(self, _func: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Make a function a task: `@app.task`, or `@app.task(...)` with options.

        - `name`: the task's name, by default the function's dotted path.
        - `aliases`: further names, such as the one from before it was renamed.
        - `retry`: False, True (without end), a number of retries, or a retry strategy.
        - `pass_context`: pass a `JobContext` as the first argument.
        - `queue`, `priority`, `lock`, `queueing_lock`: defaults, see `Task.configure`.
        - `task_middleware`: callables around each run.
        - `timeout`, `on_crash`, `crashes_max`, `keep_result`, `result_ttl`: see `Task`.

        Raises `InvalidArgument` for a wrong value, `TaskAlreadyRegistered` if the name is taken,
        and `MiddlewareKindMismatch` if a middleware is sync and the task async, or the reverse.
        """

        def declare(func: Callable[..., Any]) -> Task[..., Any, ...]:
            task: Task[..., Any, ...] = Task(func, blueprint=self, **options)
            upstream.register_task(self, task)
            functools.update_wrapper(task, func, updated=())
            return task

        return declare if _func is None else declare(_func)

    def periodic(
        self, *, cron: str, periodic_id: str = "", **configure_kwargs: Unpack[ConfigureTaskOptions]
    ) -> Callable[
        [procrastinate.tasks.Task[P, R, Concatenate[int, Args]]],
        procrastinate.tasks.Task[P, R, Args],
    ]:
        """Defer the task below at each time of a cron expression, with the argument `timestamp`.

        - `cron`: five columns, or six with the seconds last.
        - `periodic_id`: tells schedules of the same task apart.
        - further options: see `Task.configure`.

        Raises `InvalidArgument` for an expression that is wrong or whose time never comes, and for
        an unknown option.

        ```python
        @app.periodic(cron="0 4 * * *")
        @app.task
        async def clean_up(timestamp: int) -> None: ...
        ```
        """
        _check_cron(cron)
        check_known(configure_kwargs, OPTIONS)
        return super().periodic(cron=cron, periodic_id=periodic_id, **configure_kwargs)


def _check_cron(cron: object) -> None:
    if not isinstance(cron, str):
        raise InvalidArgument("cron", f"must be a string such as '0 4 * * *', not {kind(cron)}")
    problem = upstream.cron_problem(cron)
    if problem:
        raise InvalidArgument("cron", problem)
