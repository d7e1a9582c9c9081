"""What an operator asks and does: one way for the pages, the JSON API and the command line.

`Desk` is the way in. What it returns are frozen values with plain fields, fit for JSON.
"""

from forthwith.operations.census import LiveCount
from forthwith.operations.changes import Changes
from forthwith.operations.desk import Desk
from forthwith.operations.error_group import ErrorGroup
from forthwith.operations.finding import Finding, Severity
from forthwith.operations.job_filter import STATUSES, JobFilter
from forthwith.operations.job_summary import JobPage, JobSummary
from forthwith.operations.job_view import JobView, Progress, Result, TimelineEvent
from forthwith.operations.lock_state import LockState
from forthwith.operations.overview import Overview
from forthwith.operations.periodic_state import PeriodicState
from forthwith.operations.preview import ACTIONS, Action, ActionResult, Preview, Skipped
from forthwith.operations.queue_state import QueueState
from forthwith.operations.tally_point import TallyPoint
from forthwith.operations.task_state import TaskState
from forthwith.operations.worker_state import WorkerState

__all__ = [
    "ACTIONS",
    "STATUSES",
    "Action",
    "ActionResult",
    "Changes",
    "Desk",
    "ErrorGroup",
    "Finding",
    "JobFilter",
    "JobPage",
    "JobSummary",
    "JobView",
    "LiveCount",
    "LockState",
    "Overview",
    "PeriodicState",
    "Preview",
    "Progress",
    "QueueState",
    "Result",
    "Severity",
    "Skipped",
    "TallyPoint",
    "TaskState",
    "TimelineEvent",
    "WorkerState",
]
