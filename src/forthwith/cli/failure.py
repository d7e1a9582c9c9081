"""From an exception to an exit code and the lines that explain it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from forthwith.cli.exit_code import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator


class Failure(NamedTuple):
    """How a command ends that could not succeed: its exit code, and one or two lines for people."""

    code: ExitCode
    message: str


class CommandFailed(Exception):  # noqa: N818 - the name says what happened
    """A command stops here with this failure."""

    def __init__(self, code: ExitCode, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(code, message)


def explain(error: BaseException) -> Failure:
    """Return what to tell people about `error`, and the code to exit with."""
    import asyncio

    if isinstance(error, CommandFailed):
        return error.failure
    if isinstance(error, (KeyboardInterrupt, asyncio.CancelledError)):
        return Failure(ExitCode.INTERRUPTED, "interrupted")
    return _explain_library_error(error) or _explain_surprise(error)


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield `error` and everything in its chain of causes and contexts."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _explain_library_error(error: BaseException) -> Failure | None:
    from forthwith import errors

    match error:
        case errors.SchemaTooNew() | errors.MigrationChanged():
            return Failure(ExitCode.SCHEMA_MISMATCH, str(error))
        case errors.SchemaError():
            return Failure(ExitCode.SCHEMA_MISMATCH, _with_migrate_hint(str(error)))
        case errors.DatabaseUnavailable() | errors.EmbeddedUnavailable():
            return Failure(ExitCode.DATABASE_UNAVAILABLE, str(error))
        case errors.InvalidArgument():
            return Failure(ExitCode.USAGE, str(error))
        case errors.AlreadyEnqueued() | errors.TaskNotFound() | errors.NotPermitted():
            return Failure(ExitCode.FAILED, str(error))
    return _explain_driver_error(error)


def _explain_driver_error(error: BaseException) -> Failure | None:
    # Code below a connector of the user's own may let the driver's errors through as they are.
    import psycopg
    import psycopg_pool

    for cause in causes(error):
        match cause:
            case psycopg.errors.UndefinedTable() | psycopg.errors.InvalidSchemaName():
                return Failure(ExitCode.SCHEMA_MISMATCH, _with_migrate_hint(str(cause)))
            case psycopg.OperationalError() | psycopg_pool.PoolTimeout():
                return Failure(ExitCode.DATABASE_UNAVAILABLE, f"database unavailable: {cause}")
    return None


def _explain_surprise(error: BaseException) -> Failure:
    detail = str(error) or "no message"
    hint = "Run it again with --debug to see where it came from."
    return Failure(ExitCode.FAILED, f"{type(error).__name__}: {_first_line(detail)}\n{hint}")


def _with_migrate_hint(message: str) -> str:
    if "forthwith migrate" in message:
        return message
    return f"{_first_line(message)}\nRun `forthwith migrate`, then try again."


def _first_line(text: str) -> str:
    return text.strip().split("\n", 1)[0]
