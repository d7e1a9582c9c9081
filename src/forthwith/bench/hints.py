"""What the facts about a server mean for its numbers: sentences that say what holds it back, and what helps.

Pure functions, each from what was seen to a hint or None; `hints` asks them all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith.bench.activity import Activity
    from forthwith.bench.facts import Facts

_MIB = 1024**2
_GIB = 1024**3
SHARED_BUFFERS_MIN_BYTES = 256 * _MIB
MAX_WAL_SIZE_MIN_BYTES = 4 * _GIB
ROUND_TRIP_MAX_MS = 1.0
SYNC_MAX_MS = 2.0
CORES_MIN = 4
SNAPSHOT_MAX_TRANSACTIONS = 1000
WAIT_SHARE_MIN = 0.3
OFF = "off"


@dataclass(frozen=True, slots=True)
class Hint:
    """One thing that holds the numbers back, or makes them worthless."""

    topic: str
    """The setting or the thing that it is about."""
    text: str
    spoils: bool = False
    """Whether the numbers do not count because of it."""


def hints(facts: Facts, activity: Activity) -> list[Hint]:
    """Return all hints, those first that spoil the numbers."""
    found = [hint for rule in _OF_FACTS if (hint := rule(facts)) is not None]
    found += [hint for look in _OF_BOTH if (hint := look(facts, activity)) is not None]
    return sorted(found, key=lambda hint: not hint.spoils)


def _fsync(facts: Facts) -> Hint | None:
    if facts.settings.get("fsync") != OFF:
        return None
    return Hint(
        "fsync",
        "fsync is off: a crash of the machine can destroy the whole database. These numbers do not "
        "count; turn it on and measure again.",
        spoils=True,
    )


def _synchronous_commit(facts: Facts) -> Hint | None:
    if facts.settings.get("synchronous_commit") != OFF:
        return None
    return Hint(
        "synchronous_commit",
        "synchronous_commit is off: a crash loses the last jobs that were accepted. These numbers do "
        "not count for a queue that must lose nothing; turn it on and measure again.",
        spoils=True,
    )


def _full_page_writes(facts: Facts) -> Hint | None:
    if facts.settings.get("full_page_writes") != OFF:
        return None
    return Hint(
        "full_page_writes",
        "full_page_writes is off: unless the file system writes pages whole, a crash can destroy "
        "tables. These numbers do not count elsewhere.",
        spoils=True,
    )


def _shared_buffers(facts: Facts) -> Hint | None:
    size = facts.sizes.get("shared_buffers")
    if size is None or size >= SHARED_BUFFERS_MIN_BYTES:
        return None
    return Hint(
        "shared_buffers",
        f"shared_buffers is {facts.settings['shared_buffers']}: the live tables of a busy queue do "
        "not fit. Set it to a quarter of the server's memory (needs a restart).",
    )


def _round_trip(facts: Facts) -> Hint | None:
    if facts.round_trip_ms <= ROUND_TRIP_MAX_MS:
        return None
    return Hint(
        "round trip",
        f"a round trip to the server takes {facts.round_trip_ms:.1f} ms: single defers and the start "
        "of a job cannot be faster than that. Run workers near the database, and defer in batches or "
        "side by side.",
    )


def _commit(facts: Facts) -> Hint | None:
    sync_ms = facts.commit_ms - facts.round_trip_ms
    if sync_ms <= SYNC_MAX_MS:
        return None
    return Hint(
        "commit latency",
        f"a commit of one row takes {sync_ms:.1f} ms beyond the round trip: the disk of the WAL is "
        "slow to sync (or synchronous standbys are slow to answer). Batches and concurrency share "
        "commits; a faster disk for pg_wal helps everything.",
    )


def _standbys(facts: Facts) -> Hint | None:
    if not facts.settings.get("synchronous_standby_names"):
        return None
    return Hint(
        "synchronous_standby_names",
        "every commit waits for a synchronous standby: it is safer, and each commit takes the way "
        "there and back.",
    )


def _cores(facts: Facts) -> Hint | None:
    if facts.cores >= CORES_MIN:
        return None
    shared = ", which the server shares with the workers" if facts.is_local else ""
    return Hint(
        "cores",
        f"this machine gives {facts.cores} core{'' if facts.cores == 1 else 's'}{shared}: what is "
        "measured is how they are divided. More cores, or a machine of its own for the database, help.",
    )


def _load(facts: Facts) -> Hint | None:
    if facts.load_average is None or facts.load_average < facts.cores / 2:
        return None
    return Hint(
        "load average",
        f"the machine was busy before the first run (load average {facts.load_average:.1f} on "
        f"{facts.cores} cores): measure again when it is quiet.",
    )


def _autovacuum(facts: Facts) -> Hint | None:
    if facts.settings.get("autovacuum") != OFF:
        return None
    return Hint(
        "autovacuum",
        "autovacuum is off: a short run looks well, but the live table of a queue grows without end. "
        "Turn it on.",
    )


def _wal_level(facts: Facts) -> Hint | None:
    if facts.settings.get("wal_level") != "logical":
        return None
    return Hint(
        "wal_level",
        "wal_level is logical: each update and delete writes more WAL. If nothing decodes it, "
        "replica is enough (needs a restart).",
    )


def _track_commit_timestamp(facts: Facts) -> Hint | None:
    if facts.settings.get("track_commit_timestamp") != "on":
        return None
    return Hint(
        "track_commit_timestamp",
        "track_commit_timestamp is on: each commit notes its time. If nothing reads it, turn it off "
        "(needs a restart).",
    )


def _log_statement(facts: Facts) -> Hint | None:
    logged = facts.settings.get("log_statement") in {"mod", "all"}
    if not logged and facts.settings.get("log_min_duration_statement") != "0":
        return None
    return Hint(
        "log_statement",
        "the server logs every statement (log_statement or log_min_duration_statement): that costs "
        "time at each, and writes the arguments of jobs into its log.",
    )


def _commit_delay(facts: Facts) -> Hint | None:
    delay = facts.settings.get("commit_delay", "0")
    if delay.split()[0] == "0":
        return None
    return Hint(
        "commit_delay",
        f"commit_delay is {delay} microseconds: under load each commit waits for others. forthwith "
        "gathers commits by itself; 0 is better for it.",
    )


def _checkpoints(facts: Facts, activity: Activity) -> Hint | None:
    size = facts.sizes.get("max_wal_size")
    if not activity.checkpoints or size is None or size >= MAX_WAL_SIZE_MIN_BYTES:
        return None
    times = "once" if activity.checkpoints == 1 else f"{activity.checkpoints} times"
    return Hint(
        "max_wal_size",
        f"a checkpoint was forced {times} during the runs, for max_wal_size is "
        f"{facts.settings['max_wal_size']}: after each, every page is written to the WAL whole. "
        "Raise it to 4GB or more (no restart needed).",
    )


def _snapshot(facts: Facts, activity: Activity) -> Hint | None:
    age = max(facts.oldest_snapshot_transactions, activity.oldest_snapshot_transactions)
    if age < SNAPSHOT_MAX_TRANSACTIONS:
        return None
    return Hint(
        "old snapshot",
        f"somebody held a snapshot open that was {age:,} transactions old: nothing that was deleted "
        "since can be cleaned up. Look in pg_stat_activity for the session with the oldest "
        "backend_xmin, and let it end its transaction.",
    )


def _wal_waits(_facts: Facts, activity: Activity) -> Hint | None:
    share = activity.share("WALSync", "WALWrite", "WalSync", "WalWrite", "SyncRep", "WALWriteLock")
    if share < WAIT_SHARE_MIN:
        return None
    return Hint(
        "WAL",
        f"sessions at work were waiting for the WAL {share:.0%} of the time: its disk, or a "
        "synchronous standby, sets the pace.",
    )


def _read_waits(_facts: Facts, activity: Activity) -> Hint | None:
    share = activity.share("DataFileRead", "DataFileExtend", "BufferIO")
    if share < WAIT_SHARE_MIN:
        return None
    return Hint(
        "data files",
        f"sessions at work were waiting for data files {share:.0%} of the time: the tables do not fit "
        "the memory (shared_buffers), or the disk is slow.",
    )


_OF_FACTS: tuple[Callable[[Facts], Hint | None], ...] = (
    _fsync,
    _synchronous_commit,
    _full_page_writes,
    _shared_buffers,
    _round_trip,
    _commit,
    _standbys,
    _cores,
    _load,
    _autovacuum,
    _wal_level,
    _track_commit_timestamp,
    _log_statement,
    _commit_delay,
)
_OF_BOTH: tuple[Callable[[Facts, Activity], Hint | None], ...] = (
    _checkpoints,
    _snapshot,
    _wal_waits,
    _read_waits,
)
