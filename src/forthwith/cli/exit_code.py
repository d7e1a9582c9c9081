"""What the exit codes of `forthwith` mean."""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from forthwith.engine.departure import ABRUPT_EXIT_CODE


class ExitCode(IntEnum):
    """The code that a command leaves with. `meaning` is the sentence that the help shows."""

    OK = 0, "the command did what was asked"
    FAILED = 1, "the command could not do what was asked"
    USAGE = 2, "an option or argument is wrong"
    APP_NOT_LOADED = 3, "the app could not be loaded"
    DATABASE_UNAVAILABLE = 4, "the database could not be reached"
    SCHEMA_MISMATCH = 5, "the schema is missing, too old or too new (see `forthwith migrate`)"
    JOB_NOT_FOUND = 6, "there is no job with this id"
    ABRUPT = (
        ABRUPT_EXIT_CODE,
        "a worker was told to stop, and a task blocked its event loop: it gave its jobs back and left",
    )
    JOBS_AMISS = 8, "a benchmark found jobs that did not run exactly as often as they should"
    INTERRUPTED = 130, "interrupted by Ctrl-C"

    meaning: str

    def __new__(cls, value: int, meaning: str) -> Self:
        """Make the member an integer, with its meaning as an attribute."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member


def exit_code_table() -> str:
    """Return every code and its meaning, a line each, for the help."""
    return "\n".join(f"{code.value:>5}  {code.meaning}" for code in ExitCode)
