"""Jobs whose arguments, as they are shown, contain a text."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forthwith.operations import Skipped

if TYPE_CHECKING:
    from collections.abc import Container
    from datetime import datetime

    from forthwith.operations import Action, JobPage, JobSummary


def contains(job: JobSummary, text: str) -> bool:
    """Whether a job's arguments contain a text; not if they take too much room to be listed."""
    if job.args is None:
        return False
    return text.lower() in json.dumps(job.args, ensure_ascii=False).lower()


@dataclass(slots=True)
class Found:
    """What has been found so far, newest first, and how far the look has come."""

    next_cursor: str | None
    jobs: list[JobSummary] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    """How many were found in a state that was not asked for, by state."""
    looked_back_to: datetime | None = None
    is_complete: bool = False
    """Whether what was wanted was found, or all there is."""

    def add(self, job: JobSummary, states: Container[str]) -> None:
        """Add a job, if it is in one of these states."""
        if job.state in states:
            self.jobs.append(job)
        else:
            self.others[job.state] += 1

    def go_on(self, page: JobPage) -> None:
        """Note that a page has been looked through."""
        self.next_cursor = page.next_cursor
        self.looked_back_to = page.looked_back_to or self.looked_back_to
        self.is_complete = page.next_cursor is None

    def stop_at(self, job: JobSummary) -> None:
        """Note that enough has been found, with this job."""
        self.next_cursor = str(job.id)
        self.looked_back_to = job.deferred_at
        self.is_complete = True

    def skipped(self, action: Action) -> list[Skipped]:
        """Return how many an action does not apply to, and why."""
        return [
            Skipped(count, f"{state}: {action} does not apply")
            for state, count in self.others.most_common()
        ]
