"""Whether a worker lives, and whether it can be counted on. Decisions without effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forthwith.engine.readings import Readings

LIVE_WITHIN_S = 10.0
"""A loop that gives no sign for longer is taken for blocked."""
REACHABLE_WITHIN_S = 5.0
"""A database that is so late with its answer is not reachable."""


def why_not_live(silent_s: float) -> str | None:
    """Say why a process should be restarted, whose event loop has been silent for so long."""
    if silent_s <= LIVE_WITHIN_S:
        return None
    return f"the event loop has been blocked for {silent_s:.0f} s"


def why_not_ready(readings: Readings | None) -> list[str]:
    """Say what keeps a worker from taking jobs; nothing: it is ready. None: it has not begun."""
    if readings is None or readings.worker_id == 0:
        return ["the worker is not registered"]
    problems = []
    if readings.is_stopping:
        problems.append("the worker is stopping")
    if not readings.holds_lease:
        problems.append("the worker does not hold its lease")
    if readings.silent_s > REACHABLE_WITHIN_S:
        problems.append("the database does not answer")
    return problems
