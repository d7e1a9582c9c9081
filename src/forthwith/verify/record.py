"""Gathers a history from the diaries and from the database."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

from forthwith.verify.diary import read_diary
from forthwith.verify.history import Change, Effect, FinalJob, Lease, Run

if TYPE_CHECKING:
    from pathlib import Path

    import psycopg

AUDIT = """
    select seq, extract(epoch from at)::float8, xid, actor, relation, id, before, after,
        token_before, token_after, worker_before, worker_after,
        coalesce(attempts, 0), coalesce(crashes, 0),
        case when isfinite(lease_until) then extract(epoch from lease_until)::float8 end, name
    from {}.audit order by seq
"""
EFFECTS = "select job_id, lease_token, key from {}.effect order by seq"
CLOCK_SAMPLES = 5


class Runs:
    """The runs that the diaries in a lab's home tell of. Each look reads on where the last one ended."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._read: dict[Path, int] = {}
        self._found: list[Run] = []
        self._last: dict[tuple[Any, ...], int] = {}
        """By diary, job and token: where the last such run is in the list."""

    def all(self) -> list[Run]:
        """Return every run so far, in the order of their starts."""
        for path in sorted((self._home / "diaries").iterdir()):
            events, self._read[path] = read_diary(path, self._read.get(path, 0))
            for event in events:
                self._add(path, event)
        return sorted(self._found, key=lambda run: run.started_s)

    def _add(self, path: Path, event: dict[str, Any]) -> None:
        which = path, event["job_id"], event["token"]
        if event["event"] == "start":
            self._last[which] = len(self._found)
            self._found.append(_begun(event))
            return
        at = self._last[which]
        if event["event"] == "effect":
            self._found[at] = replace(self._found[at], has_effect=True)
        elif event["event"] == "end":
            ended = {"ended_s": event["s"], "error": event.get("error")}
            self._found[at] = replace(self._found[at], **ended)


def _begun(event: dict[str, Any]) -> Run:
    return Run(
        job_id=event["job_id"],
        key=event["key"],
        task=event["task"],
        lease_token=event["token"],
        worker=event["worker"],
        pid=event["pid"],
        started_s=event["s"],
    )


async def audited(
    connection: psycopg.AsyncConnection[Any], schema: str
) -> tuple[list[Change], list[Lease]]:
    """Return the changes of jobs and the leases of workers, by this machine's monotonic clock."""
    offset_s = await _clock_offset_s(connection)
    changes: list[Change] = []
    names: dict[int, str] = {}
    extensions: dict[int, list[tuple[float, float]]] = defaultdict(list)
    removed: dict[int, float] = {}
    cursor = await connection.execute(sql.SQL(AUDIT).format(sql.Identifier(schema)))
    async for seq, at_s, xid, actor, relation, row_id, before, after, *rest in cursor:
        *details, lease_until, name = rest
        s = at_s - offset_s
        if relation != "worker":
            is_archive = relation == "finished_job"
            changes.append(Change(seq, s, xid, actor, is_archive, row_id, before, after, *details))
        elif after is None:
            removed[row_id] = s
        else:
            names[row_id] = name
            until = s if lease_until is None else lease_until - offset_s
            extensions[row_id].append((s, until))
    leases = [
        Lease(worker_id, names[worker_id], tuple(times), removed.get(worker_id))
        for worker_id, times in extensions.items()
    ]
    return changes, leases


async def jobs(
    connection: psycopg.AsyncConnection[Any], schema: str, query: LiteralString
) -> list[FinalJob]:
    """Return what the database says of every job. `query` is the system's."""
    cursor = await connection.execute(sql.SQL(query).format(schema=sql.Identifier(schema)))
    return [FinalJob(*row) for row in await cursor.fetchall()]


async def effects(connection: psycopg.AsyncConnection[Any], schema: str) -> list[Effect]:
    """Return the transactional effects."""
    cursor = await connection.execute(sql.SQL(EFFECTS).format(sql.Identifier(schema)))
    return [Effect(*row) for row in await cursor.fetchall()]


async def _clock_offset_s(connection: psycopg.AsyncConnection[Any]) -> float:
    """Return the database's clock minus our monotonic one, from the quickest of a few answers."""
    samples: list[tuple[float, float]] = []
    for _ in range(CLOCK_SAMPLES):
        asked_s = time.monotonic()
        cursor = await connection.execute("select extract(epoch from clock_timestamp())::float8")
        [(at_s,)] = await cursor.fetchall()
        answered_s = time.monotonic()
        samples.append((answered_s - asked_s, at_s - (asked_s + answered_s) / 2))
    return min(samples)[1]
