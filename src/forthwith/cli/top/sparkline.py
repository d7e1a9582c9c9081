"""A row of small bars. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the last `width` values as bars, the highest one whole; a space for nothing at all."""
    shown = values[-width:] if width > 0 else ()
    highest = max(shown, default=0)
    return "".join(_bar(value, highest) for value in shown)


def _bar(value: float, highest: float) -> str:
    if value <= 0:
        return " "
    return _BARS[min(len(_BARS) - 1, int(value / highest * len(_BARS)))]
