"""Every exception that forthwith raises by name, in one tree.

```text
ProcrastinateException                     one except clause catches all below
├── ForthwithError                         what only forthwith raises
│   ├── InvalidArgument                    also a ValueError; .argument names what was wrong
│   │   ├── ArgumentsTooLarge
│   │   └── ArgumentsNotSerializable       also a TypeError
│   ├── DatabaseUnavailable                also a ConnectorException
│   ├── NotPermitted                       also a ConnectorException
│   ├── SchemaError                        also a ConnectorException
│   │   ├── SchemaMissing
│   │   ├── SchemaTooOld
│   │   ├── SchemaTooNew
│   │   └── MigrationChanged
│   ├── EmbeddedUnavailable
│   ├── JobFailed                         of a job whose result was asked for
│   │   └── JobCancelled
│   ├── LeaseLost
│   └── ResultNotStorable                 also a TypeError
├── AlreadyEnqueued, TaskNotFound, TaskAlreadyRegistered, UnboundTaskError, AppNotOpen,
│   InvalidTimestamp, JobAborted, JobRetry, LoadFromPathError, MiddlewareKindMismatch
└── ConnectorException
    └── NoResult
```

The last two groups are Procrastinate's own classes, here under the same names, so code that catches
them keeps working.
"""
# ruff: noqa: N818 -- named as Procrastinate names its exceptions, without an Error suffix

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from procrastinate.exceptions import (
    AlreadyEnqueued,
    AppNotOpen,
    ConnectorException,
    InvalidTimestamp,
    JobAborted,
    JobRetry,
    LoadFromPathError,
    MiddlewareKindMismatch,
    NoResult,
    ProcrastinateException,
    TaskAlreadyRegistered,
    TaskNotFound,
    UnboundTaskError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "AlreadyEnqueued",
    "AppNotOpen",
    "ArgumentsNotSerializable",
    "ArgumentsTooLarge",
    "ConnectorException",
    "DatabaseUnavailable",
    "EmbeddedUnavailable",
    "ForthwithError",
    "InvalidArgument",
    "InvalidTimestamp",
    "JobAborted",
    "JobCancelled",
    "JobFailed",
    "JobRetry",
    "LeaseLost",
    "LoadFromPathError",
    "MiddlewareKindMismatch",
    "MigrationChanged",
    "NoResult",
    "NotPermitted",
    "ProcrastinateException",
    "ResultNotStorable",
    "SchemaError",
    "SchemaMissing",
    "SchemaTooNew",
    "SchemaTooOld",
    "TaskAlreadyRegistered",
    "TaskNotFound",
    "UnboundTaskError",
]


class ForthwithError(ProcrastinateException):
    """Something in forthwith went wrong; the subclass says what.

    Without a message, an exception shows its class's docstring.
    """

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.getdoc(type(self)))


class InvalidArgument(ForthwithError, ValueError):
    """An argument has a value that cannot be used.

    `argument` is its name, such as `"queue"` or `"task_kwargs"`. The message is the name and
    `problem`, a phrase that says what is wrong and what to pass instead.
    """

    def __init__(self, argument: str, problem: str) -> None:
        super().__init__(f"{argument}: {problem}")
        self.argument = argument
        self.problem = problem

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by what the constructor takes, not by the finished message."""
        return type(self), (self.argument, self.problem)


class ArgumentsTooLarge(InvalidArgument):
    """A job's arguments take more bytes than allowed.

    Store the data elsewhere and pass a reference to it, or raise the app's `arguments_bytes_max`.
    """


class ArgumentsNotSerializable(InvalidArgument, TypeError):
    """A job's arguments cannot be stored as JSON.

    The message gives the path of the offending value, such as `to.address[2]`. Pass strings, finite
    numbers, booleans, None, and lists and dicts of these.
    """


class DatabaseUnavailable(ForthwithError, ConnectorException):
    """The database could not be reached, or dropped the connection.

    Check that it runs and that the URL is right. The cause is in `__cause__`.
    """


class NotPermitted(ForthwithError, ConnectorException):
    """The database role of this connection lacks a right that the call needs.

    The schema's owner grants it: `forthwith grant --defer ROLE` to defer jobs, `forthwith grant
    --work ROLE` to run workers and to look at, cancel and retry jobs.
    """


class SchemaError(ForthwithError, ConnectorException):
    """The schema in the database does not fit this version of forthwith."""


class SchemaMissing(SchemaError):
    """The database has no forthwith schema yet.

    Create it with `forthwith migrate`, or `app.migrate()`.
    """


class SchemaTooOld(SchemaError):
    """The database's schema lacks migrations that this version of forthwith needs.

    Apply them with `forthwith migrate`, or `app.migrate()`.
    """


class SchemaTooNew(SchemaError):
    """The database's schema was migrated by a newer version of forthwith.

    Upgrade forthwith here to the version that migrated it, or a later one.
    """


class MigrationChanged(SchemaError):
    """A migration that was applied to the database differs from the one in this package.

    Migrations are never edited: restore the file, or reinstall forthwith.
    """


class EmbeddedUnavailable(ForthwithError):
    """The embedded PostgreSQL could not be started.

    Install it with `pip install 'forthwith[embedded]'`, or give the URL of a PostgreSQL of your
    own: `App("postgresql://...")` or the environment variable FORTHWITH_DATABASE_URL.
    """


class LeaseLost(ForthwithError):
    """The job was taken from this worker while it ran, so nothing that it wrote was committed.

    Its lease had expired and another worker has the job now. Let the exception pass: nothing is
    left to do here.
    """


class ResultNotStorable(ForthwithError, TypeError):
    """A task with `keep_result` returned what cannot be kept: the job fails, or is retried, with this.

    Return what JSON has (strings, finite numbers, booleans, None, and lists and dicts of these), in at
    most a mebibyte.
    """


class JobFailed(ForthwithError):
    """The job whose result was asked for has not succeeded.

    Its message ends with the traceback from the worker.
    """

    def __init__(
        self,
        job_id: int,
        status: str,
        *,
        exception_type: str | None = None,
        message: str | None = None,
        traceback: str | None = None,
    ) -> None:
        self.job_id = job_id  #: the job's id
        self.status = status  #: its final status: "failed", "aborted" or "cancelled"
        self.exception_type = exception_type  #: the name of the last attempt's exception
        self.message = message  #: its text
        self.traceback = traceback  #: the traceback from the worker, as text
        super().__init__("".join(self._lines()))

    def _lines(self) -> Iterator[str]:
        yield f"Job {self.job_id} {_WAS.get(self.status, self.status)}"
        if self.exception_type is not None:
            yield f": {self.exception_type}"
            yield f": {self.message}" if self.message else ""
        if self.traceback:
            yield f"\n\n{self.traceback}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes whole."""
        return _failed_again, (type(self), self.job_id, self.status, self.__dict__)


class JobCancelled(JobFailed):
    """The job whose result was asked for was cancelled before it ran."""


_WAS = {"failed": "has failed", "aborted": "was aborted", "cancelled": "was cancelled"}


def _failed_again(
    cls: type[JobFailed], job_id: int, status: str, attributes: dict[str, Any]
) -> JobFailed:
    names = ("exception_type", "message", "traceback")
    return cls(job_id, status, **{name: attributes[name] for name in names})
