"""The one log line of each outcome."""

from __future__ import annotations

import logging
from typing import Any

from forthwith.engine.meter import OUTCOMES
from forthwith.outcome import Aborted, Failed, Outcome, Released, Retry, Succeeded

# Under the runner's name, by which logs are filtered.
logger = logging.getLogger("forthwith.engine.runner")

VERBS = {
    Succeeded: "succeeded",
    Failed: "failed",
    Retry: "failed and will be retried",
    Aborted: "was aborted",
    Released: "was given back",
}


def log_outcome(outcome: Outcome, duration_s: float) -> None:
    """Write a job's line: what became of a run that took so long. Its arguments are not in it."""
    failure: Any = getattr(outcome, "failure", None)
    logger.log(
        logging.ERROR if isinstance(outcome, Failed) else logging.INFO,
        "Job %d (%s) %s after %.3f s%s",
        outcome.job.id,
        outcome.job.task,
        VERBS[type(outcome)],
        duration_s,
        f": {failure.exception_type}" if failure is not None else "",
        extra={
            "action": f"job_{type(outcome).__name__.lower()}",
            "job_id": outcome.job.id,
            "task": outcome.job.task,
            "queue": outcome.job.queue,
            "attempt": outcome.job.attempts + 1,
            "outcome": OUTCOMES[type(outcome)],
            "duration_s": round(duration_s, 6),
            "worker_id": outcome.job.worker_id,
            **({} if failure is None else {"exception_type": failure.exception_type}),
        },
    )
