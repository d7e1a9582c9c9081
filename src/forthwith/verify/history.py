"""A history: what was asked for, what ran, what changed in the database, which faults happened.

All times are seconds of this machine's monotonic clock; the database's are converted to it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

Result = Literal["ok", "fail", "unknown"]
FINAL = frozenset({"succeeded", "failed", "cancelled", "aborted"})


@dataclass(frozen=True, slots=True)
class Call:
    """What a producer asked for, and what it was told."""

    action: Literal["defer", "cancel"]
    key: str
    """The job's own argument by which it is found again when the answer was lost."""
    result: Result
    invoked_s: float
    returned_s: float
    job_id: int | None = None
    task: str = ""
    queue: str = ""
    lock: str | None = None
    queueing_lock: str | None = None
    priority: int = 0
    is_scheduled: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a task, as the task itself noted it."""

    job_id: int
    key: str
    task: str
    lease_token: int | None
    worker: str
    pid: int
    started_s: float
    ended_s: float | None = None
    """When it ended; None if nobody noted it: the process died, or it still runs."""
    has_effect: bool = False
    error: str | None = None
    """The type of the exception that ended it."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a job's row, as a trigger noted it in the same transaction.

    `before` and `after` are statuses; None means that there was, or is, no row in that table.
    """

    seq: int
    s: float
    xid: int
    actor: str
    """The application_name of the session: which worker."""
    is_archive: bool
    """It is a change of the history's table."""
    job_id: int
    before: str | None
    after: str | None
    token_before: int | None = None
    token_after: int | None = None
    worker_before: int | None = None
    worker_after: int | None = None
    attempts: int = 0
    crashes: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """A worker's registration: when its lease was extended, and until when."""

    worker_id: int
    name: str
    extensions: tuple[tuple[float, float], ...]
    """Pairs of when, and until when."""
    removed_s: float | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was injected. `hits` counts what it really did; 0: it hit nothing."""

    kind: str
    target: str
    """A worker's name, or `database`."""
    began_s: float
    ended_s: float
    hits: int = 1


@dataclass(frozen=True, slots=True)
class WorkerLife:
    """A worker process, from its start to its end."""

    name: str
    pid: int
    started_s: float
    ended_s: float | None = None
    exit_status: int | None = None
    """As of subprocess: negative for the signal that ended it; None: it still runs."""
    asked_to_stop_s: float | None = None
    """When it was first sent SIGTERM."""
    grace_s: float | None = None
    hurried_s: float | None = None
    """When it was sent SIGTERM for the second time."""
    deletes: str = "never"
    """Of which of its jobs it keeps no history: `never`, `successful` or `always`."""


@dataclass(frozen=True, slots=True)
class FinalJob:
    """What the database says of a job at the end."""

    id: int
    key: str
    task: str
    status: str
    attempts: int
    crashes: int
    lease_token: int | None
    crashed_attempts: int = 0
    """Rows of kind `crashed` among its recorded attempts."""


@dataclass(frozen=True, slots=True)
class Effect:
    """A row that a task wrote in the transaction that completed its job."""

    job_id: int
    lease_token: int
    key: str


@dataclass(slots=True)
class History:
    """Everything that the checkers read."""

    seed: int | None = None
    lease_s: float = 30.0
    calls: list[Call] = field(default_factory=list)
    runs: list[Run] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    leases: list[Lease] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    workers: list[WorkerLife] = field(default_factory=list)
    jobs: list[FinalJob] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    settled_s: float | None = None
    """How long it took after the last fault until every job was final; None: it did not."""
    settle_limit_s: float = 0.0
    gathered_s: float | None = None
    """When all this was read from the database."""

    def save(self, path: Path) -> None:
        """Write the history as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1))


def load(path: Path) -> History:
    """Read a history that was saved. Raises `ValueError` if it is none."""
    data: dict[str, Any] = json.loads(path.read_text())
    try:
        lists: dict[str, Any] = {
            name: [kind(**row) for row in data.pop(name)] for name, kind in _ROWS.items()
        }
        leases = [
            Lease(**{**row, "extensions": tuple((at, until) for at, until in row["extensions"])})
            for row in data.pop("leases")
        ]
        return History(**data, **lists, leases=leases)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a history of forthwith verify: {error}") from error


_ROWS: dict[str, Any] = {
    "calls": Call,
    "runs": Run,
    "changes": Change,
    "faults": Fault,
    "workers": WorkerLife,
    "jobs": FinalJob,
    "effects": Effect,
}
