"""What a user passes besides a job's arguments, checked at the call: names, numbers and times.

Everything here is pure. What is wrong raises `InvalidArgument`, which names the argument.
"""

from __future__ import annotations

import datetime
import difflib
import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import TYPE_CHECKING, TypeVar

from forthwith.errors import InvalidArgument

if TYPE_CHECKING:
    from typing_extensions import TypeIs

T = TypeVar("T")

NAME_CHARACTERS_MAX = 128
"""Longest name of a queue or a task, as in Procrastinate's tables."""

NOTE_CHARACTERS_MAX = 200
"""Longest note in a job's progress."""

LOCK_CHARACTERS_MAX = 512
"""Longest `lock` or `queueing_lock`. At four bytes a character it still fits in an index entry."""

PRIORITY_MIN, PRIORITY_MAX = -(2**31), 2**31 - 1
"""The range of a priority: PostgreSQL's `integer`."""

CRASHES_MAX_MAX = 2**15 - 1
"""The highest `crashes_max`: PostgreSQL's `smallint`."""

_SECONDS_IN: dict[str, Fraction] = {
    "weeks": Fraction(604_800),
    "days": Fraction(86_400),
    "hours": Fraction(3_600),
    "minutes": Fraction(60),
    "seconds": Fraction(1),
    "milliseconds": Fraction(1, 1_000),
    "microseconds": Fraction(1, 1_000_000),
}
_UTC_MAX = datetime.datetime.max.replace(tzinfo=datetime.UTC)
_UTC_MIN = datetime.datetime.min.replace(tzinfo=datetime.UTC)


def check_name(argument: str, value: object, *, characters_max: int = NAME_CHARACTERS_MAX) -> str:
    """Return `value` if it can name a queue or a task, else raise `InvalidArgument`.

    A name is a string of 1 to `characters_max` characters without NULs and lone surrogates.
    """
    if not is_a(value, str):
        raise InvalidArgument(argument, f"must be a string, not {kind(value)}")
    value = str.__str__(value)  # a plain string, also of a StrEnum
    if not value:
        raise InvalidArgument(argument, "must not be empty")
    if len(value) > characters_max:
        raise InvalidArgument(
            argument, f"has {len(value)} characters, and {characters_max} are allowed"
        )
    problem = text_problem(value)
    if problem:
        raise InvalidArgument(argument, problem)
    return value


def check_lock(argument: str, value: object) -> str:
    """Return `value` if it can be a `lock` or a `queueing_lock`, else raise `InvalidArgument`.

    The rules are those of `check_name`, with up to `LOCK_CHARACTERS_MAX` characters.
    """
    return check_name(argument, value, characters_max=LOCK_CHARACTERS_MAX)


def check_priority(argument: str, value: object) -> int:
    """Return `value` if it is an integer that PostgreSQL's `integer` holds.

    Raises `InvalidArgument` otherwise. Higher priorities run first.
    """
    if isinstance(value, bool) or not is_a(value, int):
        raise InvalidArgument(argument, f"must be an integer, not {kind(value)}")
    value = int.__int__(value)  # a plain integer, also of an IntEnum
    if not PRIORITY_MIN <= value <= PRIORITY_MAX:
        raise InvalidArgument(argument, f"must be from {PRIORITY_MIN} to {PRIORITY_MAX}")
    return value


def check_positive(argument: str, value: object, *, at_most: float | None = None) -> float:
    """Return `value` as a float if it is a finite number above zero, such as seconds, up to `at_most`.

    Raises `InvalidArgument` otherwise.
    """
    number = _finite(argument, value)
    if number <= 0:
        raise InvalidArgument(argument, "must be greater than zero")
    if at_most is not None and number > at_most:
        raise InvalidArgument(argument, f"must be at most {at_most:.0f}")
    return number


def check_progress(
    done: object, total: object, note: object
) -> tuple[float, float | None, str | None]:
    """Return how far a job says that it is, if that can be. Raises `InvalidArgument` otherwise."""
    done_number = _finite("done", done)
    if done_number < 0:
        raise InvalidArgument("done", "must not be below zero")
    total_number = None if total is None else _finite("total", total)
    if total_number is not None and done_number > total_number:
        raise InvalidArgument("done", f"must not be above the total, {total_number:g}")
    return done_number, total_number, None if note is None else _check_note(note)


def _check_note(note: object) -> str:
    if not is_a(note, str):
        raise InvalidArgument("note", f"must be a string, not {kind(note)}")
    note = str.__str__(note)
    if len(note) > NOTE_CHARACTERS_MAX:
        raise InvalidArgument(
            "note", f"has {len(note)} characters, and {NOTE_CHARACTERS_MAX} are allowed"
        )
    problem = text_problem(note)
    if problem:
        raise InvalidArgument("note", problem)
    return note


def check_count(argument: str, value: object, *, at_most: int | None = None) -> int:
    """Return `value` if it is an integer from 1 to `at_most`, else raise `InvalidArgument`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(argument, f"must be an integer, not {kind(value)}")
    if value < 1:
        raise InvalidArgument(argument, "must be at least 1")
    if at_most is not None and value > at_most:
        raise InvalidArgument(argument, f"must be at most {at_most}")
    return value


def check_crashes_max(value: object) -> int:
    """Return `value` if it can be the number of crashes at which a job is failed.

    Raises `InvalidArgument` unless it is an integer from 1 to `CRASHES_MAX_MAX`.
    """
    return check_count("crashes_max", value, at_most=CRASHES_MAX_MAX)


def check_flag(argument: str, value: object) -> bool:
    """Return `value` if it is True or False, else raise `InvalidArgument`."""
    if not isinstance(value, bool):
        raise InvalidArgument(argument, f"must be True or False, not {kind(value)}")
    return value


def _finite(argument: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgument(argument, f"must be a number, not {kind(value)}")
    try:
        number = float(value)
    except OverflowError:
        raise InvalidArgument(argument, "is too large") from None
    if not math.isfinite(number):
        raise InvalidArgument(argument, "must be a finite number, not NaN or infinite")
    return number


def check_known(options: Iterable[str], known: frozenset[str]) -> None:
    """Raise `InvalidArgument` for the first option that is not known, and suggest the nearest."""
    for option in options:
        if option not in known:
            names = sorted(known)
            nearest = difflib.get_close_matches(option, names, n=1)
            hint = f"did you mean {nearest[0]}?" if nearest else f"use one of {', '.join(names)}"
            raise InvalidArgument(option, f"no such option; {hint}")


def check_schedule(argument: str, value: object) -> datetime.datetime:
    """Return `value` in UTC if it is an aware datetime that stays one there.

    PostgreSQL's `timestamptz` holds every such time. Raises `InvalidArgument` otherwise.
    """
    if not is_a(value, datetime.datetime):
        raise InvalidArgument(argument, f"must be a datetime, not {kind(value)}")
    try:
        utc = _in_utc(value)
    except OverflowError:
        raise InvalidArgument(argument, "is outside the years 1 to 9999 in UTC") from None
    except Exception as error:  # a time zone is a class that anybody can write
        raise InvalidArgument(argument, "has a time zone that does not work") from error
    if utc is None:
        raise InvalidArgument(
            argument, "must have a time zone, such as datetime.now(tz=datetime.UTC)"
        )
    return utc


def _in_utc(value: datetime.datetime) -> datetime.datetime | None:
    """Return a plain datetime in UTC, also of a subclass; None for a naive one."""
    plain = datetime.datetime.combine(value.date(), value.timetz())
    return None if plain.utcoffset() is None else plain.astimezone(datetime.UTC)


def schedule_from(
    schedule_at: object = None, schedule_in: object = None
) -> datetime.datetime | None:
    """Return when a job is due, from the options `schedule_at` and `schedule_in`.

    `schedule_in` is a dict of `timedelta` units to finite numbers, such as `{"minutes": 5}`,
    counted from now. None means at once. Raises `InvalidArgument` for both, or a wrong one.
    """
    if schedule_in is None:
        return None if schedule_at is None else check_schedule("schedule_at", schedule_at)
    if schedule_at is not None:
        raise InvalidArgument("schedule_in", "cannot be set together with schedule_at")
    if not isinstance(schedule_in, Mapping):
        raise InvalidArgument(
            "schedule_in", f'must be a dict such as {{"minutes": 5}}, not {kind(schedule_in)}'
        )
    for unit, number in schedule_in.items():
        if unit not in _SECONDS_IN:
            raise InvalidArgument(
                "schedule_in", f"no such unit {unit!r}; use one of {', '.join(_SECONDS_IN)}"
            )
        _finite(f"schedule_in[{unit!r}]", number)
    return utc_in(**schedule_in)


def utc_in(**units: float) -> datetime.datetime:
    """Return the time that is so many `weeks`, `days`, … `microseconds` from now, in UTC.

    The numbers are finite. What lies beyond the calendar becomes its last (or first) moment.
    """
    try:
        return datetime.datetime.now(tz=datetime.UTC) + datetime.timedelta(**units)
    except OverflowError:
        seconds = sum(Fraction(value) * _SECONDS_IN[unit] for unit, value in units.items())
        return _UTC_MAX if seconds > 0 else _UTC_MIN


def text_problem(value: str) -> str | None:
    """Say what keeps PostgreSQL from storing a string, or return None."""
    value = str.__str__(value)  # what it is, not what a subclass says of it
    if "\0" in value:
        return "contains a NUL character, which PostgreSQL cannot store; remove it, or use base64"
    if not value.isascii() and not _is_encodable(value):
        return "contains a lone surrogate, which UTF-8 cannot encode; replace it, or use base64"
    return None


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_a(value: object, cls: type[T]) -> TypeIs[T]:
    """Whether a value really is one of a class, whatever it says of its `__class__`."""
    return issubclass(type(value), cls)


def kind(value: object) -> str:
    """Return what a message calls the kind of a wrong value."""
    return "None" if value is None else class_name(type(value)).rpartition(".")[2]


def class_name(cls: type) -> str:
    """Return the qualified name of a class, whatever its metaclass says."""
    return str.__str__(type.__dict__["__qualname__"].__get__(cls))
