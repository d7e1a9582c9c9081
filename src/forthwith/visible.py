"""Text from jobs and errors, with what could deceive a reader written as escapes."""

from __future__ import annotations

import unicodedata

# Control characters can move a terminal's cursor, recolour or retitle it; format characters (Cf) can
# reverse the reading direction, so that a name shows as another; separators break a table's row.
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_SHORT_ESCAPES = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: str, keep: str = "") -> str:
    """Return `text` with every unsafe character written as an escape, but for those in `keep`."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if character in keep else _safe_character(character) for character in text
    )


def _safe_character(character: str) -> str:
    if unicodedata.category(character) not in _UNSAFE_CATEGORIES:
        return character
    return _SHORT_ESCAPES.get(character) or _code_point_escape(ord(character))


def _code_point_escape(code_point: int) -> str:
    if code_point <= 0xFF:
        return f"\\x{code_point:02x}"
    return f"\\u{code_point:04x}" if code_point <= 0xFFFF else f"\\U{code_point:08x}"
