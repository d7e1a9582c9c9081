"""The overview in a few numbers, small enough to be sent once a second. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forthwith.operations import Overview, QueueState

QUEUES_MAX = 50
_COUNTS = ("ready", "blocked", "scheduled", "running", "failed_last_hour")


def digest_of(overview: Overview) -> dict[str, Any]:
    """Return the totals, up to `QUEUES_MAX` queues with their counts, workers and findings.

    Without anything that changes by itself, such as ages: the same digest means that nothing has happened.
    """
    totals = {key: sum(getattr(queue, key) for queue in overview.queues) for key in _COUNTS}
    severities = Counter(finding.severity for finding in overview.findings)
    return {
        "totals": totals,
        "ended_last_hour": sum(point.ended for point in overview.history),
        "queues": [_queue(queue) for queue in overview.queues[:QUEUES_MAX]],
        "workers": len(overview.workers),
        "workers_silent": sum(worker.is_silent for worker in overview.workers),
        "findings": {severity: severities[severity] for severity in ("error", "warning", "note")},
    }


def _queue(queue: QueueState) -> dict[str, Any]:
    return {
        "name": queue.name,
        "is_paused": queue.paused_at is not None,
        "listeners": queue.listeners,
        **{key: getattr(queue, key) for key in _COUNTS},
    }
