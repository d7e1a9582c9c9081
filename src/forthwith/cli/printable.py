"""Text from jobs and errors, made safe to show on a terminal."""

from __future__ import annotations

import re

from forthwith.visible import visible

_URL_PASSWORD = re.compile(r"(//[^:/@\s]*):[^@\s]*@")
_KEYWORD_PASSWORD = re.compile(r"(\bpassword\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE)


def one_line(text: str) -> str:
    """Return `text` on one line, with every unsafe character written as an escape."""
    return visible(text)


def lines(text: str) -> list[str]:
    """Return the lines of `text`, each made safe by `one_line`; tabs become spaces."""
    return [one_line(line.expandtabs(4)) for line in text.split("\n")]


def without_passwords(text: str) -> str:
    """Return `text` with the passwords of database URLs and connection strings replaced."""
    return _KEYWORD_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***@", text))


def shortened(text: str, size_max: int) -> str:
    """Return `text` cut to `size_max` characters, the last one `…` where something was cut."""
    return text if len(text) <= size_max else text[: size_max - 1] + "…"
