"""What is kept of a failure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forthwith.outcome import (
    MESSAGE_CHARACTERS_MAX,
    TRACEBACK_CHARACTERS_MAX,
    failure_of,
    storable,
)


class UnspeakableError(Exception):
    """Fails when it is looked at."""

    def __str__(self) -> str:
        raise RuntimeError


def raised(error: BaseException) -> BaseException:
    """Return an exception that has been raised."""
    try:
        raise error
    except BaseException as caught:
        return caught


def test_failure_has_type_message_and_traceback() -> None:
    failure = failure_of(raised(ValueError("no such thing")), "failed")
    assert failure[:3] == ("failed", "ValueError", "no such thing")
    assert "in raised" in failure.traceback


def test_cause_is_in_the_traceback() -> None:
    error = ValueError("outer")
    error.__cause__ = KeyError("inner")
    assert "inner" in failure_of(error, "failed").traceback


def test_group_is_kept_with_its_parts() -> None:
    failure = failure_of(ExceptionGroup("all", [ValueError("one"), KeyError("two")]), "failed")
    assert "one" in failure.traceback
    assert "two" in failure.traceback


def test_exception_without_words_is_kept_all_the_same() -> None:
    failure = failure_of(raised(UnspeakableError()), "failed")
    assert failure.exception_type == "UnspeakableError"
    assert "RuntimeError" in failure.message


def test_long_texts_are_shortened_in_the_middle() -> None:
    failure = failure_of(raised(ValueError("<" + "x" * 1_000_000 + ">")), "failed")
    assert len(failure.message) < MESSAGE_CHARACTERS_MAX + 100
    assert failure.message.startswith("<")
    assert failure.message.endswith(">")
    assert len(failure.traceback) < TRACEBACK_CHARACTERS_MAX + 100


def test_endless_recursion_is_kept() -> None:
    def recurse() -> None:
        recurse()

    with pytest.raises(RecursionError) as caught:
        recurse()
    assert failure_of(caught.value, "failed").exception_type == "RecursionError"


@given(st.text(st.characters(codec=None, categories=None), max_size=50))
def test_storable_text_has_nothing_that_postgresql_refuses(text: str) -> None:
    stored = storable(text, 1000)
    assert "\x00" not in stored
    stored.encode("utf-8")


@given(st.text(max_size=50).filter(lambda text: "\x00" not in text))
def test_ordinary_text_is_stored_as_it_is(text: str) -> None:
    assert storable(text, 1000) == text
