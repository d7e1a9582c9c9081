"""Everything at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from forthwith.operations.error_group import ErrorGroup
    from forthwith.operations.finding import Finding
    from forthwith.operations.queue_state import QueueState
    from forthwith.operations.tally_point import TallyPoint
    from forthwith.operations.worker_state import WorkerState


@dataclass(frozen=True, slots=True)
class Overview:
    """Queues, workers, what fails, the last hour, and what is wrong."""

    as_of: datetime
    """When the oldest part of it was asked of the database. Costly counts are shared for a while."""
    queues: list[QueueState]
    workers: list[WorkerState]
    errors: list[ErrorGroup]
    history: list[TallyPoint]
    findings: list[Finding]
