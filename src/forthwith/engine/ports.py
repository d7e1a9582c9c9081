"""What the engine needs of the world, and no more. The store fits these; the engine never sees it.

Every method that talks to the database raises `DatabaseUnavailable` where trying again may help.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from datetime import datetime

    import psycopg

    from forthwith.engine.meter import Counts
    from forthwith.engine.progress import Said
    from forthwith.engine.watch import Gone, Look
    from forthwith.job import ClaimedJob
    from forthwith.outcome import Outcome


class Position(NamedTuple):
    """A place in a queue's order: everything up to it was claimed. The rank is -priority."""

    rank: int
    id: int


QUEUE_START = Position(-(2**62), 0)


class Share(NamedTuple):
    """How much to claim of one queue, and from where on."""

    queue: str
    size: int
    after: Position


Claim: TypeAlias = tuple[int, int]
"""A job's id and the lease token of one claim of it."""


class KeptResult(NamedTuple):
    """What a task returned, to be kept."""

    text: str
    """As JSON."""
    ttl_s: float


class Outlook(NamedTuple):
    """What a look at the whole table showed."""

    queues: list[str]
    """Queues with ready jobs."""
    next_due_s: float | None
    """Seconds until the next scheduled job is due."""
    has_suspects: bool
    more_to_sort: bool
    """There was more to promote or to put in line than one look does."""


class Rescued(NamedTuple):
    """What became of one job of a dead worker."""

    job_id: int
    task: str
    worker_id: int
    fate: str
    queue: str


class Fate(Enum):
    """What became of the transaction in which a run completed its job."""

    OPEN = "open"  #: it has not ended
    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"  #: or the savepoint around the completion


class Place(NamedTuple):
    """Which database a transaction is in."""

    server_started_at: datetime
    database_oid: int


class OtherDatabase(Exception):  # noqa: N818 -- a signal between us, not for users
    """The caller's transaction is in another place."""


class Completing(Protocol):
    """Completions in transactions that a task's own SQL commits with.

    The fenced statement runs at the end of a block, or when asked, and raises `LeaseLost`. The id of
    the transaction is told before the commit, so that somebody can ask what became of it. With `tells`,
    who waits for the job's end hears of the commit.
    """

    def transaction(
        self, job: ClaimedJob, note: Callable[[str], None], *, tells: bool
    ) -> AbstractAsyncContextManager[psycopg.AsyncConnection[Any]]: ...

    def transaction_blocking(
        self, job: ClaimedJob, note: Callable[[str], None], *, tells: bool
    ) -> AbstractContextManager[psycopg.Connection[Any]]: ...

    def is_async(self, connection: object) -> bool: ...

    async def complete_in(
        self,
        job: ClaimedJob,
        connection: object,
        place: Place,
        earlier: str | None,
        *,
        tells: bool,
    ) -> str:
        """Return the transaction's id. `earlier` is one that was tried before. Raises `OtherDatabase`."""

    def complete_in_blocking(
        self,
        job: ClaimedJob,
        connection: object,
        place: Place,
        earlier: str | None,
        *,
        tells: bool,
    ) -> str: ...

    async def place(self, *, afresh: bool = False) -> Place: ...

    async def fate_of(self, job: ClaimedJob, transaction_id: str) -> Fate: ...


class ProgressStore(Protocol):
    """Where jobs' progress is written."""

    async def write_progress(self, batch: Sequence[Said]) -> None:
        """Write what jobs said, of those that are still held by the claim that said it."""

    async def forget_progress(self, ids: Sequence[int], worker_id: int) -> None:
        """Forget what these jobs said, but for those that another worker holds."""


class TallyStore(Protocol):
    """Where all workers add what they have counted."""

    async def add_tallies(self, counts: Counts) -> None: ...


class JobStore(Protocol):
    """The statements that a worker runs."""

    async def look(self, queues: Sequence[str] | None) -> Outlook: ...

    async def share_out(
        self, shares: Sequence[Share], limit: int, unknown_tasks: Sequence[str]
    ) -> list[Share]: ...

    async def claim(
        self,
        shares: Sequence[Share],
        unknown_tasks: Sequence[str],
        worker_id: int,
        *,
        crashed_too: bool = True,
    ) -> list[ClaimedJob]: ...

    async def claim_suspect(
        self, queues: Sequence[str] | None, unknown_tasks: Sequence[str], worker_id: int
    ) -> list[ClaimedJob]: ...

    async def set_sleeping(self, worker_id: int, *, sleeping: bool) -> None: ...

    async def has_open_defers(self) -> bool:
        """Whether a transaction is open in which somebody has deferred jobs that nobody sees yet."""

    async def complete(
        self,
        outcomes: Sequence[Outcome],
        *,
        repeated: bool,
        results: Mapping[Claim, KeptResult | None],
    ) -> set[int]:
        """Record outcomes in one transaction. Returns the ids of the jobs whose outcome was accepted.

        `results` are what there is to keep of them, and perhaps of others. Of whose claim is in it (with
        None, if there is nothing to keep) it is told that the job has ended.
        """

    async def mark_started(self, job: ClaimedJob) -> bool: ...

    @property
    def completing(self) -> Completing: ...

    async def release_orphans(self, worker_id: int, known_ids: Sequence[int]) -> list[int]: ...

    async def abort_requested(self, ids: Sequence[int]) -> list[int]: ...

    async def paused_queues(self) -> list[str]: ...

    async def look_at_workers(self, doubted_ids: Sequence[int]) -> Look: ...

    async def rescue(self, gone: Sequence[Gone], limit: int) -> list[Rescued]:
        """Take over up to `limit` jobs of those workers that still are as they were observed."""

    async def prune(self) -> list[str]: ...

    async def prune_observation(self, batch_size: int) -> int:
        """Forget up to so many rows of each kind that is over. Returns of how many, at the most."""

    @property
    def tallies(self) -> TallyStore: ...

    @property
    def progress(self) -> ProgressStore: ...

    @property
    def reconnects(self) -> int:
        """How often a connection was made anew."""

    async def listen(self, hear: Callable[[str], None], listening: Callable[[], None]) -> None:
        """Call `listening` once notifications arrive, then `hear` with each payload, until it breaks."""

    async def close(self) -> None: ...


class LeaseStore(Protocol):
    """The statements of the lease keeper's thread, in an event loop and on a connection of its own."""

    @property
    def holds_lock(self) -> bool: ...

    @property
    def reconnects(self) -> int: ...

    async def register(self) -> int: ...

    async def renew(self, worker_id: int, interval_s: float, running: int) -> bool:
        """Extend the lease, and say in how many seconds the next renewal comes and how many jobs run.

        False: it was lost.
        """

    async def unregister(self, worker_id: int, *, leaves_jobs: bool) -> None: ...

    async def disturbed(self) -> None:
        """Wait until something befalls the session, such as its loss; never without a session."""

    async def close(self) -> None: ...
