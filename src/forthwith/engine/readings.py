"""What can be read off a worker at any time."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Readings:
    """How things are with a worker at this moment. Times are in seconds."""

    worker_id: int
    """0 until it is registered."""
    holds_lease: bool
    silent_s: float
    """For how long the database has not answered, beyond the interval at which it is asked."""
    is_stopping: bool
    running: int
    """Jobs that run."""
    buffered: int
    """Claimed jobs that wait for a runner."""
    unrecorded: int
    """Outcomes that wait to be recorded."""
    reconnects: int
    """How often a connection to the database was made anew."""
