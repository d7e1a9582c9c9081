"""Kinds of values on the command line: waits, moments, JSON objects and lists of queues.

Each is a function from the text to the value, for click's `type=`; it raises click.BadParameter,
to which click adds the option's name.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import click

_UNIT_S = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_WAIT = re.compile(r"(\d+(?:\.\d+)?)([smhd]?)", re.ASCII)
# Due times further away than this are typing errors, and near the end of what a datetime can hold.
_WAIT_MAX_S = 100 * 366 * 86400.0

_DATE = re.compile(r"\d{4}-", re.ASCII)
_AGO = re.compile(r"\d+(?:\.\d+)?[smhd]", re.ASCII)

PRIORITY = click.IntRange(-(2**31), 2**31 - 1)
JOB_ID = click.IntRange(1, 2**63 - 1)


def wait_s(text: str) -> float:
    """Return the seconds of a wait written as `90`, `90s`, `5m`, `2h` or `1d`."""
    match = _WAIT.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not a wait such as 90, 90s, 5m, 2h or 1d")
    seconds = float(match[1]) * _UNIT_S[match[2]]
    if seconds > _WAIT_MAX_S:
        raise click.BadParameter(f"{text!r} is more than 100 years")
    return seconds


def moment(text: str) -> datetime:
    """Return the point in time of an ISO 8601 text that states its offset, in UTC."""
    try:
        parsed = datetime.fromisoformat(text.strip())
        in_utc = parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        problem = f"{text!r} is not a time such as 2030-01-31T09:00:00+01:00"
        raise click.BadParameter(problem) from None
    if parsed.tzinfo is None:
        raise click.BadParameter(f"{text!r} has no offset from UTC, such as Z or +01:00")
    return in_utc


def past(text: str) -> datetime:
    """Return the moment that lies `90s`, `15m`, `2h` or `7d` back, or that of an ISO 8601 text, in UTC."""
    if _AGO.fullmatch(text.strip()):
        return datetime.now(UTC) - timedelta(seconds=wait_s(text))
    try:
        return moment(text)
    except click.BadParameter as error:
        if _DATE.match(text.strip()):
            raise
        problem = (
            f"{text!r} is neither as long ago as 90s, 15m, 2h or 7d says, nor an ISO 8601 time"
        )
        raise click.BadParameter(problem) from error


def json_object(text: str) -> dict[str, Any]:
    """Return the object that is written as JSON in `text`, or in standard input for `-`."""
    source = sys.stdin.read() if text == "-" else text
    try:
        parsed = json.loads(source, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"not valid JSON: {error}") from None
    if not isinstance(parsed, dict):
        raise click.BadParameter('must be a JSON object, such as {"to": "ada@example.org"}')
    return parsed


def queue_names(text: str) -> list[str]:
    """Return the names in a list separated by commas, without repetitions."""
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise click.BadParameter(f"{text!r} holds an empty name; write it as a,b")
    return list(dict.fromkeys(names))


def due_time(at: datetime | None, in_s: float | None) -> datetime | None:
    """Return the moment that `--at` or `--in` means; raise a usage error where both are given."""
    if at is not None and in_s is not None:
        raise click.UsageError("--at and --in exclude each other")
    return datetime.now(UTC) + timedelta(seconds=in_s) if in_s is not None else at


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
