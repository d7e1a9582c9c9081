"""Spares a worker's process the garbage collector's walks over what was there before."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def heap_set_aside() -> Iterator[None]:
    """Leave the objects that are there now out of collections meanwhile.

    Claimed jobs outlive the young generations, and so make Python walk over its whole heap every few thousand
    jobs: over the modules, mostly, which are no garbage. What had been set aside before stays so.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.collect()  # what is garbage already would stay, too
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
