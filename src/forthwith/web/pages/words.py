"""How pages write values: ages, durations, counts, JSON. Pure."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from markupsafe import Markup, escape

from forthwith.visible import visible
from forthwith.web.pages import names

_UNITS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"))
NOTHING = "–"  # noqa: RUF001 -- a dash, for what is not there
_JOINERS = "\u200c\u200d"
"""Some scripts cannot be written without them."""


def duration(seconds: float | None) -> str:
    """Return a duration in its largest unit, and the next below: 2 h 5 min, 1.5 s, 12 ms."""
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    for (size, name), (lower, lower_name) in pairwise(_UNITS):
        if seconds >= size:
            rest = int(seconds % size // lower)
            return f"{int(seconds // size)} {name}" + (f" {rest} {lower_name}" if rest else "")
    raise AssertionError(seconds)


def age(at: datetime | None, now: datetime | None = None) -> str:
    """Return how long ago a time was, or how far ahead it lies."""
    if at is None:
        return NOTHING
    seconds = ((now or datetime.now(tz=UTC)) - at).total_seconds()
    if abs(seconds) < 1:
        return "now"
    whole = duration(float(int(abs(seconds))))
    return f"{whole} ago" if seconds > 0 else f"in {whole}"


def exact(at: datetime | None) -> str:
    """Return a time in UTC, to the millisecond."""
    if at is None:
        return NOTHING
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC"


def minute(at: datetime) -> str:
    """Return a time in UTC, to the minute."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def iso(at: datetime) -> str:
    """Return a time as HTML's <time> takes it."""
    return at.astimezone(UTC).isoformat()


def count(number: float | None) -> str:
    """Return a number with its thousands apart, and a tenth if it is small and not whole."""
    if number is None:
        return NOTHING
    return f"{number:,.0f}" if number >= 100 or float(number).is_integer() else f"{number:,.1f}"


def percent(share: float | None) -> str:
    """Return a share of one as a percentage."""
    return NOTHING if share is None else f"{share:.1%}"


def as_json(value: Any) -> str:
    """Return a value as JSON, for people."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def as_line(value: Any) -> str:
    """Return a value as one line of JSON, cut off at 120 characters."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:119]}…"


def shown(value: Any) -> Any:
    """Return what a page shows of a value: nothing in a text turns its order round, or is not seen.

    Text that is markup already stays as it is.
    """
    is_text = isinstance(value, str) and not isinstance(value, Markup)
    return visible(value, _JOINERS) if is_text else value


def as_block(text: str) -> Markup:
    """Return a text of several lines, as `shown` but with its line ends."""
    return escape(visible(text, _JOINERS + "\n\t"))


FILTERS = {
    "as_block": as_block,
    "duration": duration,
    "age": age,
    "exact": exact,
    "minute": minute,
    "iso": iso,
    "count": count,
    "percent": percent,
    "as_json": as_json,
    "as_line": as_line,
    "as_field": names.written,
}
