"""Claimed jobs for tests without a database."""

from __future__ import annotations

from typing import Any

from forthwith.job import ClaimedJob


def claimed_job(job_id: int = 1, **changes: Any) -> ClaimedJob:
    """Return a job as a claim gives it."""
    job = ClaimedJob(
        id=job_id,
        lease_token=1,
        worker_id=7,
        queue="default",
        task="work",
        priority=0,
        attempts=0,
        crashes=0,
        crashes_max=3,
        args="{}",
        lock=None,
        queueing_lock=None,
        scheduled_at=None,
        abort_requested=False,
    )
    return job._replace(**changes)
