"""What collections leave out while a worker runs."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest

from forthwith.engine.garbage import heap_set_aside

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ring:
    """Garbage that only a collection finds, once it is let go."""

    def __init__(self) -> None:
        self.ring = self


@pytest.fixture(autouse=True)
def nothing_stays_set_aside() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_is_there_is_set_aside_and_comes_back() -> None:
    before = Ring()
    seen = weakref.ref(before)
    with heap_set_aside():
        assert gc.get_freeze_count() > 0
        del before
        gc.collect()
        assert seen() is not None
    gc.collect()
    assert seen() is None


def test_what_is_garbage_already_is_not_set_aside() -> None:
    seen = weakref.ref(Ring())
    with heap_set_aside():
        assert seen() is None


def test_what_comes_later_is_collected_as_ever() -> None:
    with heap_set_aside():
        seen = weakref.ref(Ring())
        gc.collect()
        assert seen() is None


def test_it_comes_back_after_an_error() -> None:
    with pytest.raises(KeyError), heap_set_aside():
        raise KeyError
    assert gc.get_freeze_count() == 0


def test_what_somebody_else_has_set_aside_stays_so() -> None:
    gc.freeze()
    later = Ring()
    seen = weakref.ref(later)
    with heap_set_aside():
        del later
        gc.collect()
        assert seen() is None  # it came after that
    assert gc.get_freeze_count() > 0
