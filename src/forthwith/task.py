"""A task: a function whose calls are deferred as jobs."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, cast, get_args

import procrastinate
import procrastinate.tasks
from procrastinate.jobs import DEFAULT_PRIORITY, DEFAULT_QUEUE

from forthwith.deferrer import (
    CRASHES_MAX,
    ConfigureTaskOptions,
    JobDeferrer,
    JobToDefer,
    configure_task,
)
from forthwith.errors import InvalidArgument
from forthwith.options import (
    check_crashes_max,
    check_flag,
    check_lock,
    check_name,
    check_positive,
    check_priority,
    kind,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from procrastinate.middleware import TaskMiddleware
    from procrastinate.retry import RetryValue
    from typing_extensions import Unpack

__all__ = [
    "CRASHES_MAX",
    "RESULT_TTL_S",
    "ConfigureTaskOptions",
    "JobDeferrer",
    "JobToDefer",
    "OnCrash",
    "Task",
    "configure_task",
    "crashes_max_of",
    "result_ttl_s_of",
    "timeout_s_of",
]

P = ParamSpec("P")
R = TypeVar("R")
Args = ParamSpec("Args")

RESULT_TTL_S = 86_400.0
RESULT_TTL_S_MAX = 10 * 366 * 86_400.0

OnCrash = Literal["retry", "fail"]
"""What becomes of a job whose worker died while running it: it runs again, or it is failed."""


class Task(procrastinate.tasks.Task[P, R, Args]):
    """A function that runs later, in a worker: what the decorator `app.task` makes of one.

    Procrastinate's task (see `Blueprint.task` for its options), with these options more:

    - `timeout`: seconds that one run may take, or None for no limit.
    - `on_crash`: "retry" runs a job again when its worker died while running it, whatever its
      retry strategy says; "fail" is for tasks that must never run twice.
    - `crashes_max`: with "retry", the crash at which the job is failed as poison.
    - `keep_result`: keep what the task returns, for `app.result`: it must be JSON-able, and take no
      more than a mebibyte.
    - `result_ttl`: for how many seconds; a day by default.

    Calling the task calls the function, here and now. Raises `InvalidArgument` for a wrong option.
    """

    def __init__(
        self,
        func: Callable[P, R],
        *,
        blueprint: procrastinate.Blueprint,
        name: str | None = None,
        aliases: list[str] | None = None,
        retry: RetryValue = False,
        pass_context: bool = False,
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
    ) -> None:
        _check_function(func)
        _check_retry(retry)
        super().__init__(
            func,
            blueprint=blueprint,
            name=None if name is None else check_name("name", name),
            aliases=_check_aliases(aliases),
            retry=retry,
            pass_context=check_flag("pass_context", pass_context),
            queue=check_name("queue", queue),
            priority=check_priority("priority", priority),
            lock=None if lock is None else check_lock("lock", lock),
            queueing_lock=(
                None if queueing_lock is None else check_lock("queueing_lock", queueing_lock)
            ),
            task_middleware=task_middleware,
        )
        #: Seconds that one run may take, or None for no limit.
        self.timeout_s: float | None = (
            None if timeout is None else check_positive("timeout", timeout)
        )
        #: What becomes of a job whose worker died while running it.
        self.on_crash: OnCrash = _check_on_crash(on_crash)
        #: The crash at which a job is failed rather than run again; 1 where `on_crash` is "fail".
        self.crashes_max: int = check_crashes_max(crashes_max)
        if self.on_crash == "fail":
            self.crashes_max = 1
        #: Whether what the task returns is kept.
        self.keep_result: bool = check_flag("keep_result", keep_result)
        #: For how many seconds.
        self.result_ttl_s: float = check_positive(
            "result_ttl", result_ttl, at_most=RESULT_TTL_S_MAX
        )

    def defer(self, *positional: Args.args, **task_kwargs: Args.kwargs) -> int:
        """Defer a job with these arguments, by keyword, and return its id.

        When this returns, the job is in the database. Raises `AlreadyEnqueued` if a job with the
        same `queueing_lock` waits, `InvalidArgument` for what cannot be stored, and
        `DatabaseUnavailable`.
        """
        _check_no_positional(positional)
        return self.configure().defer(**task_kwargs)  # type: ignore[arg-type]  # see serialize

    async def defer_async(self, *positional: Args.args, **task_kwargs: Args.kwargs) -> int:
        """Defer a job with these arguments, by keyword, and return its id. See `defer`."""
        _check_no_positional(positional)
        return await self.configure().defer_async(**task_kwargs)  # type: ignore[arg-type]

    def batch_defer(self, *task_kwargs: Mapping[str, Any]) -> list[int]:
        """Defer a job for each dict of arguments, all or none; return their ids, in the same order.

        Raises as `defer` does.
        """
        return self.configure().batch_defer(*task_kwargs)

    async def batch_defer_async(self, *task_kwargs: Mapping[str, Any]) -> list[int]:
        """Defer a job for each dict of arguments; return their ids. See `batch_defer`."""
        return await self.configure().batch_defer_async(*task_kwargs)

    def configure(self, **options: Unpack[ConfigureTaskOptions]) -> JobDeferrer:
        """Return a deferrer for one or more jobs that differ from the task's defaults.

        - `lock`: no two jobs with the same lock run at a time.
        - `queueing_lock`: no two jobs with the same queueing lock wait at a time.
        - `task_kwargs`: arguments, to which `defer` adds its own.
        - `schedule_at`: an aware datetime before which the job does not start.
        - `schedule_in`: the same, from now, such as `{"minutes": 5}`.
        - `queue`, `priority`: in place of the task's.
        - `connection`: psycopg's, SQLAlchemy's (a session, too) or Django's, in whose transaction the
          job is deferred.

        None stands for the task's default. Raises `InvalidArgument` for an option that is unknown
        or has a wrong value, and `UnboundTaskError` if the task's blueprint is in no app yet.

        ```python
        send.configure(schedule_in={"hours": 1}, priority=5).defer(to="ada@example.org")
        ```
        """
        self.blueprint.will_configure_task()
        app = cast("procrastinate.App", self.blueprint)
        defaults: ConfigureTaskOptions = {
            "queue": self.queue,
            "priority": self.priority,
            "lock": self.lock,
            "queueing_lock": self.queueing_lock,
        }
        chosen = {name: value for name, value in options.items() if value is not None}
        return configure_task(
            name=self.name,
            job_manager=app.job_manager,
            crashes_max=self.crashes_max,
            **cast("ConfigureTaskOptions", {**defaults, **chosen}),
        )


def timeout_s_of(task: procrastinate.tasks.Task[..., Any, ...]) -> float | None:
    """Return the seconds that one run of `task` may take; None for Procrastinate's own tasks."""
    return task.timeout_s if isinstance(task, Task) else None


def crashes_max_of(task: procrastinate.tasks.Task[..., Any, ...]) -> int:
    """Return the crash at which a job of `task` is failed: 1 where `on_crash` is "fail"."""
    return task.crashes_max if isinstance(task, Task) else CRASHES_MAX


def result_ttl_s_of(task: procrastinate.tasks.Task[..., Any, ...]) -> float | None:
    """Return for how many seconds what `task` returns is kept; None where it is not."""
    return task.result_ttl_s if isinstance(task, Task) and task.keep_result else None


def _check_function(func: object) -> None:
    if not callable(func):
        raise InvalidArgument(
            "task", f"decorates a function, not {kind(func)}; pass options by name, as in name=..."
        )
    if inspect.isgeneratorfunction(func) or inspect.isasyncgenfunction(func):
        raise InvalidArgument(
            "task", "is a generator function: calling it runs nothing; return instead of yielding"
        )


def _check_retry(retry: object) -> None:
    if isinstance(retry, int) and retry >= 0:  # False and True are 0 and 1
        return
    if isinstance(retry, type) or not hasattr(retry, "get_retry_exception"):
        raise InvalidArgument(
            "retry", "must be True, False, a number of retries from 0, or a retry strategy"
        )


def _check_aliases(aliases: object) -> list[str] | None:
    if aliases is None:
        return None
    if not isinstance(aliases, list | tuple):
        raise InvalidArgument("aliases", f"must be a list of task names, not {kind(aliases)}")
    return [check_name("aliases", alias) for alias in aliases]


def _check_on_crash(on_crash: object) -> OnCrash:
    if on_crash not in get_args(OnCrash):
        raise InvalidArgument("on_crash", f'must be "retry" or "fail", not {on_crash!r}')
    return cast("OnCrash", on_crash)


def _check_no_positional(positional: tuple[object, ...]) -> None:
    """Refuse what Procrastinate would silently leave out."""
    if positional:
        raise InvalidArgument(
            "defer", "takes each argument by its name, as in send.defer(to=...), none by position"
        )
