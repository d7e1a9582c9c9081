"""Text from jobs and errors cannot reach the terminal as anything but text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forthwith.cli.printable import lines, one_line, shortened, without_passwords


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüße 🎉", "grüße 🎉"),
        ("red \x1b[31m", r"red \x1b[31m"),
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("c1 \x9b31m", r"c1 \x9b31m"),
        ("reversed \u202etxt", r"reversed \u202etxt"),
        ("separator \u2028", r"separator \u2028"),
        ("lone \ud800", r"lone \ud800"),
        ("tag \U000e0041", r"tag \U000e0041"),
        ("del \x7f", r"del \x7f"),
    ],
)
def test_unsafe_characters_become_escapes(text: str, shown: str) -> None:
    assert one_line(text) == shown


@given(st.text())
def test_any_text_becomes_printable(text: str) -> None:
    shown = one_line(text)
    assert all(character.isprintable() or character.isspace() for character in shown)
    assert shown.splitlines() in ([], [shown])


def test_lines_of_a_block_stay_lines() -> None:
    assert lines("a\n\tb\x1b") == ["a", r"    b\x1b"]


def test_wide_text_is_cut_with_an_ellipsis() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:secret@host/db",
        'missing "=" after "postgres//ada:secret@host" in connection info string',
        "host=x password=secret dbname=y",
        "host=x password = 'secret' dbname=y",
        "postgresql:///db?user=ada&password=secret&host=x",
        "postgresql://ada:se%20cret@host/db",
    ],
)
def test_passwords_are_removed(text: str) -> None:
    assert "cret" not in without_passwords(text)
    assert "***" in without_passwords(text)
