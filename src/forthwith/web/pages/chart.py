"""What the charts of a page show: what ended in each step of time, and how much of it failed. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forthwith.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from forthwith.operations import TallyPoint


@dataclass(frozen=True, slots=True)
class Span:
    """How far back charts reach."""

    name: str
    """As addresses have it: `?since=hour`."""
    words: str
    length_s: float


HOUR = Span("hour", "the last hour", 3600)
DAY = Span("day", "the last day", 86_400)
SPANS = (HOUR, DAY)


@dataclass(frozen=True, slots=True)
class History:
    """Steps of time, the oldest first, and their charts. A step that still goes on is among them."""

    span: Span
    points: Sequence[TallyPoint]
    queue: str | None = None
    """None: of all queues."""

    @property
    def step_s(self) -> int:
        """The length of a step."""
        return self.points[0].step_s if self.points else 60

    @property
    def ended(self) -> int:
        """Attempts that ended, however."""
        return sum(point.ended for point in self.points)

    @property
    def wrong(self) -> int:
        """How many of them did not succeed."""
        return sum(wrong(point) for point in self.points)

    @property
    def most(self) -> int:
        """Attempts that ended in the busiest step."""
        return max((point.ended for point in self.points), default=0)

    @property
    def worst(self) -> float | None:
        """The highest share of a step that did not succeed; None if nothing ended."""
        return max(
            (share for point in self.points if (share := rate(point)) is not None), default=None
        )

    @property
    def throughput(self) -> dict[str, Any]:
        """The chart of attempts, one series upon the other, as static/charts.js takes it."""
        return self._chart(
            "",
            _series("not succeeded", "bad", [wrong(point) for point in self.points]),
            _series("succeeded", "good", [point.succeeded for point in self.points]),
        )

    @property
    def error_rate(self) -> dict[str, Any]:
        """The chart of shares in percent; there is none where nothing ended."""
        shares = [rate(point) for point in self.points]
        percent = [None if share is None else round(100 * share, 2) for share in shares]
        return self._chart(" %", _series("error rate", "bad", percent))

    def _chart(self, unit: str, *series: dict[str, Any]) -> dict[str, Any]:
        at = [int(point.at.timestamp()) for point in self.points]
        return {"at": at, "step": self.step_s, "unit": unit, "series": series}


def span_of(name: str | None) -> Span:
    """Return the span of that name; the last hour if there is none. Raises `InvalidArgument`."""
    for span in SPANS:
        if name in (span.name, None):
            return span
    names = " or ".join(span.name for span in SPANS)
    raise InvalidArgument("since", f"must be {names}, not {name!r}")


def wrong(point: TallyPoint) -> int:
    """Return how many attempts did not succeed."""
    return point.ended - point.succeeded


def rate(point: TallyPoint) -> float | None:
    """Return the share of them, of one; None if nothing ended."""
    return wrong(point) / point.ended if point.ended else None


def _series(name: str, tone: str, values: Sequence[float | None]) -> dict[str, Any]:
    return {"name": name, "tone": tone, "values": values}
