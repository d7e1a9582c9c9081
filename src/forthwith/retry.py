"""What to do when a task fails: whether it runs again, and when."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterable
from typing import TYPE_CHECKING

from procrastinate.retry import BaseRetryStrategy, RetryDecision, RetryStrategy

from forthwith.errors import InvalidArgument
from forthwith.options import check_count, check_flag, check_positive, utc_in

if TYPE_CHECKING:
    from procrastinate.jobs import Job

__all__ = ["BaseRetryStrategy", "ExponentialBackoffStrategy", "RetryDecision", "RetryStrategy"]


@dataclasses.dataclass(frozen=True, slots=True)
class ExponentialBackoffStrategy(BaseRetryStrategy):
    """Run a failed task again after a wait that doubles each time.

    - `max_attempts`: how often the task's function runs at most, the first run included.
    - `base_delay`: seconds before the second run; then twice as long before each further one.
    - `max_delay`: the longest wait, in seconds. Fractions of a second count, here and above.
    - `retry_exceptions`: retry only exceptions of these classes (and their subclasses). None
      retries them all.
    - `jitter`: wait a random time from zero to the computed one ("full jitter"), so that jobs that
      failed together do not come back together. Source: Marc Brooker, "Exponential Backoff And
      Jitter", AWS Architecture Blog, 2015,
      https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/

    Raises `InvalidArgument` for a value that makes no sense. Instances never change.

    ```python
    @app.task(retry=ExponentialBackoffStrategy(max_attempts=5, base_delay=2.0))
    async def send(to: str) -> None: ...  # runs at most five times, 2, 4, 8 and 16 seconds apart
    ```
    """

    max_attempts: int = 5
    base_delay: float = 2.0
    max_delay: float = 300.0
    retry_exceptions: Iterable[type[BaseException]] | None = None
    jitter: bool = False

    def __post_init__(self) -> None:
        check_count("max_attempts", self.max_attempts)
        check_positive("base_delay", self.base_delay)
        check_positive("max_delay", self.max_delay)
        check_flag("jitter", self.jitter)
        if self.base_delay > self.max_delay:
            raise InvalidArgument("base_delay", f"must not exceed max_delay ({self.max_delay})")
        if self.retry_exceptions is not None:
            classes = _exception_classes(self.retry_exceptions)
            object.__setattr__(self, "retry_exceptions", classes)

    def wait_s(self, attempts: int) -> float:
        """Return the seconds to wait after `attempts` earlier runs (0 on the first), no jitter.

        This is the plan alone: it does not ask whether there is a further run.
        """
        try:
            return min(math.ldexp(self.base_delay, attempts), self.max_delay)
        except OverflowError:
            return self.max_delay

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        """Return when `job` runs again after `exception`, or None if it does not."""
        seconds = self.get_schedule_in(exception=exception, attempts=job.attempts)
        if seconds is None:
            return None
        return RetryDecision(retry_at=utc_in(seconds=seconds))

    def get_schedule_in(  # type: ignore[override]  # Procrastinate has whole seconds only
        self, *, exception: BaseException, attempts: int
    ) -> float | None:
        """Return the seconds until the next run, or None if there is none.

        Procrastinate's older interface. `attempts` is the number of runs before the failed one.
        """
        if attempts + 1 >= self.max_attempts or not self._applies_to(exception):
            return None
        wait_s = self.wait_s(attempts)
        return random.uniform(0, wait_s) if self.jitter else wait_s

    def _applies_to(self, exception: BaseException) -> bool:
        return self.retry_exceptions is None or isinstance(exception, tuple(self.retry_exceptions))


# Strategies that ask a job for its `attempts` alone, and decide on a wait alone. Not their subclasses.
WAITING = (RetryStrategy, ExponentialBackoffStrategy)
WAIT_MAX_S = 2.4e11
"""From now nearly to the end of the calendar, in the year 9999."""


def wait_s_of(
    strategy: RetryStrategy | ExponentialBackoffStrategy, error: BaseException, attempts: int
) -> float | None:
    """Return how many seconds to wait after `attempts` earlier runs and this error; None: no retry.

    It is what the strategy's own `get_retry_decision` says, without looking at a clock: the wait is to count
    from the database's. Raises what a strategy of senseless values raises.
    """
    if isinstance(strategy, ExponentialBackoffStrategy):
        wait = strategy.get_schedule_in(exception=error, attempts=attempts)
    else:
        wait = _wait_of_stock(strategy, error, attempts)
    if wait is None:
        return None
    if wait != wait:
        raise ValueError("the retry strategy's wait is not a number")
    return float(min(max(wait, 0), WAIT_MAX_S))


def _wait_of_stock(strategy: RetryStrategy, error: BaseException, attempts: int) -> float | None:
    if strategy.max_attempts and attempts >= strategy.max_attempts:
        return None
    classes = strategy.retry_exceptions
    if classes and not isinstance(error, tuple(classes)):
        return None
    growing: float = strategy.exponential_wait ** (attempts + 1)
    return strategy.wait + strategy.linear_wait * attempts + growing


def _exception_classes(classes: object) -> tuple[type[BaseException], ...]:
    """Return the classes as the tuple that isinstance takes."""
    if isinstance(classes, type) or not isinstance(classes, Iterable):
        raise InvalidArgument("retry_exceptions", "must be a list or tuple of exception classes")
    members = tuple(classes)
    if not members:
        raise InvalidArgument(
            "retry_exceptions", "must not be empty; pass None to retry every exception"
        )
    for member in members:
        if not (isinstance(member, type) and issubclass(member, BaseException)):
            raise InvalidArgument("retry_exceptions", f"{member!r} is not an exception class")
    return members
