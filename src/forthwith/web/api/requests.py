"""What the API is sent: bodies and query parameters, bounded."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import Path, Query
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from forthwith.operations import STATUSES, Action, JobFilter
from forthwith.operations.job_filter import TEXT_CHARACTERS_MAX
from forthwith.options import LOCK_CHARACTERS_MAX, NAME_CHARACTERS_MAX

LIMIT_MAX = 200
ID_MAX = 2**63 - 1
IDS_MAX = 1000
DO_MAX = 1_000_000
DAY_S = 86_400.0

_DATE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]")


def _written_out(value: object) -> object:
    """Return the value if it may be a time; pydantic would take numbers for seconds since 1970."""
    if isinstance(value, str) and not _DATE.match(value):
        raise ValueError("write it as 2030-01-31T09:00:00+01:00")
    if isinstance(value, int | float):
        raise ValueError("write it as text: 2030-01-31T09:00:00+01:00")
    return value


# PostgreSQL has no NUL in its texts.
_NO_NUL = r"^[^\x00]*$"
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=NAME_CHARACTERS_MAX, pattern=_NO_NUL)
]
Lock = Annotated[
    str, StringConstraints(min_length=1, max_length=LOCK_CHARACTERS_MAX, pattern=_NO_NUL)
]
Text = Annotated[
    str, StringConstraints(min_length=1, max_length=TEXT_CHARACTERS_MAX, pattern=_NO_NUL)
]
Id = Annotated[int, Field(ge=1, le=ID_MAX)]
JobId = Annotated[int, Path(ge=1, le=ID_MAX, description="The job's id.")]
Time = Annotated[AwareDatetime, BeforeValidator(_written_out)]
Status = Annotated[str, Field(json_schema_extra={"enum": list(STATUSES)})]
Cursor = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,19}$")]
HourS = Annotated[
    float, Query(ge=60, le=7 * DAY_S, description="How far back to look, in seconds.")
]
HistoryS = Annotated[
    float, Query(ge=60, le=30 * DAY_S, description="How far back to look, in seconds.")
]


class Body(BaseModel):
    """What all bodies have in common: nothing unknown is let pass."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class FilterBody(Body):
    """Jobs that fit all of what is given; without anything every job."""

    status: Status | None = Field(
        None, description="A status, or what a waiting job waits for: ready, scheduled or blocked."
    )
    queue: Name | None = None
    task: Name | None = None
    lock: Lock | None = None
    worker_id: Id | None = Field(None, description="The worker that has it, or ran it last.")
    deferred_after: Time | None = Field(None, description="Deferred then or later.")
    deferred_before: Time | None = Field(None, description="Deferred before.")
    ended_after: Time | None = Field(
        None, description="Ended then or later, whenever it was deferred."
    )
    text: Text | None = Field(None, description="What the arguments, as they are shown, contain.")
    error: Text | None = Field(None, description="The exception type of a failed attempt.")

    def filter(self) -> JobFilter:
        """Return it as the desk takes it. Raises `InvalidArgument`."""
        return JobFilter(**self.model_dump(include=set(FilterBody.model_fields)))


class JobsQuery(FilterBody):
    """A page of the jobs of a filter."""

    limit: int = Field(50, ge=1, le=LIMIT_MAX, description="How many jobs to return at most.")
    after: Cursor | None = Field(None, description="The next_cursor of the page before.")


class Reschedule(Body):
    """When a job is to be due."""

    at: Time = Field(description="With an offset from UTC.")


class Periodic(Body):
    """A periodic task."""

    task: Name
    periodic_id: Annotated[
        str, StringConstraints(max_length=NAME_CHARACTERS_MAX, pattern=_NO_NUL)
    ] = ""


class PreviewBody(Body):
    """What would be done to which jobs: those of a filter, or those of these ids."""

    action: Action
    filter: FilterBody | None = None
    ids: Annotated[list[Id], Field(min_length=1, max_length=IDS_MAX)] | None = None


class ApplyBody(Body):
    """What to do to which jobs: those of a filter, or those of these ids."""

    action: Action
    filter: FilterBody | None = None
    ids: Annotated[list[Id], Field(min_length=1, max_length=IDS_MAX)] | None = None
    expected_max: Annotated[int, Field(ge=1, le=DO_MAX)] | None = Field(
        None, description="With `filter`: the most jobs to touch, such as the preview's count."
    )
    at: Time | None = Field(None, description="With `reschedule`: when they are due.")
