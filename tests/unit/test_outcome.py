"""What is kept of a failure."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forthwith.outcome import (
    MESSAGE_CHARACTERS_MAX,
    TRACEBACK_CHARACTERS_MAX,
    failure_of,
    storable,
)

if TYPE_CHECKING:
    from collections.abc import Callable


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


class Own(Exception):  # noqa: N818
    """An exception of ours."""


def noted(error: BaseException) -> BaseException:
    """Return it with a note."""
    error.add_note("a note\nof two lines")
    return error


def with_context() -> BaseException:
    """Return one that was raised while another was handled."""
    try:
        try:
            raise ValueError("first")
        except ValueError:
            raise KeyError("second")  # noqa: B904
    except KeyError as error:
        return error


def suppressing() -> BaseException:
    """Return one that hides what was handled."""
    try:
        try:
            raise ValueError("first")
        except ValueError:
            raise KeyError("second") from None
    except KeyError as error:
        return error


def of(code: str) -> BaseException:
    """Return what this raises."""
    try:
        exec(code, {"thing": [], "things": 1})  # noqa: S102
    except Exception as error:
        return error
    raise AssertionError


ERRORS = [
    lambda: ValueError("never raised"),
    lambda: raised(ValueError("message")),
    lambda: raised(ValueError()),
    lambda: raised(ValueError("", "two")),
    lambda: raised(KeyError("a key")),
    lambda: raised(OSError(2, "No such file", "name")),
    lambda: raised(Own("of a module")),
    lambda: raised(SystemExit(3)),
    lambda: raised(noted(ValueError("noted"))),
    lambda: raised(ExceptionGroup("all", [ValueError("one")])),
    with_context,
    suppressing,
    lambda: of("thingz"),
    lambda: of("thing.appendd"),
    lambda: of("from math import sinn"),
    lambda: of("(1 +"),
    lambda: of("1/0"),
    lambda: of("(lambda f: f(f))(lambda f: f(f))"),
]


@pytest.mark.parametrize("make", ERRORS)
def test_traceback_is_what_python_would_print(make: Callable[[], BaseException]) -> None:
    for _ in range(3):  # the second time from memory
        error = make()
        expected = storable("".join(traceback.format_exception(error)), TRACEBACK_CHARACTERS_MAX)
        assert failure_of(error, "failed").traceback == expected


class Refuses:
    """Raises whatever is asked of it."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        raise RuntimeError


def test_nothing_is_asked_of_a_class_that_refuses() -> None:
    error = type("Hostile", (Exception,), {"__module__": Refuses(), "__notes__": Refuses()})(
        "hello"
    )
    failure = failure_of(raised(error), "failed")
    assert failure[:3] == ("failed", "Hostile", "hello")
    assert "in raised" in failure.traceback
    assert failure.traceback.endswith("Hostile: hello\n")


def test_text_is_asked_for_once() -> None:
    class Counting(Exception):  # noqa: N818
        asked = 0

        def __str__(self) -> str:
            Counting.asked += 1
            return "counted"

    assert failure_of(raised(Counting()), "failed").message == "counted"
    assert Counting.asked == 1


def test_stacks_are_told_apart_by_the_place_in_the_code() -> None:
    def fail(first: bool) -> None:
        if first:
            raise ValueError("one")
        raise ValueError("two")

    texts = []
    for first in (True, False, True):
        with pytest.raises(ValueError, match=r"one|two") as caught:
            fail(first)
        texts.append(failure_of(caught.value, "failed").traceback)
    assert 'ValueError("one")' in texts[0]
    assert 'ValueError("two")' in texts[1]
    assert texts[2] == texts[0]


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
