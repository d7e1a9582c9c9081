"""Every way in which a run of a job can end, as values. The runner makes them, the completer records them."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from datetime import datetime

    from forthwith.job import AttemptKind, ClaimedJob

MESSAGE_CHARACTERS_MAX = 10_000
TRACEBACK_CHARACTERS_MAX = 100_000


class Failure(NamedTuple):
    """What went wrong in an attempt, as it is kept in history."""

    kind: AttemptKind
    exception_type: str
    message: str
    traceback: str


class Succeeded(NamedTuple):
    """The task returned."""

    job: ClaimedJob


class Failed(NamedTuple):
    """The task raised, and its retry strategy gave up."""

    job: ClaimedJob
    failure: Failure


class Retry(NamedTuple):
    """The task raised, and runs again at `retry_at` (None: now), perhaps elsewhere in the order."""

    job: ClaimedJob
    failure: Failure
    retry_at: datetime | None
    priority: int | None
    queue: str | None
    lock: str | None


class Aborted(NamedTuple):
    """The job ended because somebody asked for it, before (no failure) or while it ran."""

    job: ClaimedJob
    failure: Failure | None


class Released(NamedTuple):
    """The job is given back without using an attempt: it had not started, or the worker stops."""

    job: ClaimedJob


Outcome: TypeAlias = Succeeded | Failed | Retry | Aborted | Released


def failure_of(error: BaseException, kind: AttemptKind) -> Failure:
    """Describe an exception for history: text that PostgreSQL can hold, of bounded length."""
    return Failure(
        kind=kind,
        exception_type=storable(type(error).__qualname__, 500),
        message=storable(_message(error), MESSAGE_CHARACTERS_MAX),
        traceback=storable(_traceback(error), TRACEBACK_CHARACTERS_MAX),
    )


def storable(text: str, characters_max: int) -> str:
    """Return the text without what PostgreSQL refuses (NUL, lone surrogates), shortened in the middle."""
    if len(text) > characters_max:
        half = characters_max // 2
        text = (
            f"{text[:half]}\n[... {len(text) - 2 * half} characters left out ...]\n{text[-half:]}"
        )
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<the exception's own text could not be had: {type(broken).__qualname__}>"


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception as broken:
        return f"<the traceback could not be had: {type(broken).__qualname__}>"
