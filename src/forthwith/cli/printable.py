"""Text from jobs and errors, made safe to show on a terminal."""

from __future__ import annotations

import re
import unicodedata

# Control characters can move the cursor, recolour or retitle a terminal; format characters (Cf) can
# reverse the reading direction, so that a name shows as another; separators break a table's row.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_URL_PASSWORD = re.compile(r"(//[^:/@\s]*):[^@\s]*@")
_KEYWORD_PASSWORD = re.compile(r"(\bpassword\s*=\s*)('(?:[^'\\]|\\.)*'|[^\s&]+)", re.IGNORECASE)


def one_line(text: str) -> str:
    """Return `text` on one line, with every unsafe character written as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_safe_character, text))


def lines(text: str) -> list[str]:
    """Return the lines of `text`, each made safe by `one_line`; tabs become spaces."""
    return [one_line(line.expandtabs(4)) for line in text.split("\n")]


def without_passwords(text: str) -> str:
    """Return `text` with the passwords of database URLs and connection strings replaced."""
    return _KEYWORD_PASSWORD.sub(r"\1***", _URL_PASSWORD.sub(r"\1:***@", text))


def shortened(text: str, size_max: int) -> str:
    """Return `text` cut to `size_max` characters, the last one `…` where something was cut."""
    return text if len(text) <= size_max else text[: size_max - 1] + "…"


def _safe_character(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE_CATEGORIES:
        return character
    return _SHORT_ESCAPES.get(character) or _code_point_escape(ord(character))


def _code_point_escape(code_point: int) -> str:
    if code_point <= 0xFF:
        return f"\\x{code_point:02x}"
    return f"\\u{code_point:04x}" if code_point <= 0xFFFF else f"\\U{code_point:08x}"
