"""What a server's processes spend while something runs: CPU time (Linux), and what they wait for."""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
LOOK_INTERVAL_S = 0.02
# Backends by the head of what they did last (statements are cut off); the others by their kind.
PROCESSES = """
select pid, case
    when query like '-- Claim up to%' then 'claiming backend'
    when query like '-- Move jobs that ended%' then 'completing backend'
    when query like '-- Send claimed jobs%' then 'completing backend'
    when query like '-- Keep what went wrong%' then 'completing backend'
    when backend_type = 'client backend' then 'other backends'
    else backend_type end,
    case
        when state = 'idle' or wait_event = 'ClientRead' then 'the worker'
        when wait_event is null then 'nothing: it runs, or would'
        else wait_event_type || ': ' || wait_event end
from pg_stat_activity where pid <> pg_backend_pid()
"""
_OTHER = "other backends"


class Seen(NamedTuple):
    """A process of the server at one moment."""

    pid: int
    kind: str
    waits_for: str
    cpu_s: float


class Spending:
    """Adds up, by the kind of process. Backends are gone when the worker is: so it looks all the time."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._first_s: dict[int, float] = {}
        self._last: dict[int, Seen] = {}
        self._waits: dict[int, Counter[str]] = defaultdict(Counter)
        with psycopg.connect(url, autocommit=True) as connection:
            self._first_s = {seen.pid: seen.cpu_s for seen in _look(connection)}

    async def watch(self) -> None:
        """Look until cancelled."""
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            while True:
                cursor = await connection.execute(PROCESSES)
                for seen in _with_cpu(await cursor.fetchall()):
                    self._note(seen)
                await asyncio.sleep(LOOK_INTERVAL_S)

    def _note(self, seen: Seen) -> None:
        earlier = self._last.get(seen.pid)
        kind = earlier.kind if earlier is not None and seen.kind == _OTHER else seen.kind
        self._last[seen.pid] = seen._replace(kind=kind)
        self._waits[seen.pid][seen.waits_for] += 1

    def cpu_s(self) -> dict[str, float]:
        """CPU seconds since the beginning, by kind of process."""
        spent: dict[str, float] = defaultdict(float)
        for seen in self._last.values():
            spent[seen.kind] += seen.cpu_s - self._first_s.get(seen.pid, 0.0)
        return dict(spent)

    def waits(self, kind: str) -> dict[str, float]:
        """What processes of that kind waited for: each as a share of all looks at them, from 0 to 1."""
        found: Counter[str] = Counter()
        for pid, waits in self._waits.items():
            if self._last[pid].kind == kind:
                found += waits
        return {what: count / found.total() for what, count in found.most_common()}


def _look(connection: psycopg.Connection) -> Iterator[Seen]:
    return _with_cpu(connection.execute(PROCESSES).fetchall())


def _with_cpu(rows: list[tuple[int, str, str]]) -> Iterator[Seen]:
    for pid, kind, waits_for in rows:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # gone meanwhile
        yield Seen(pid, kind, waits_for, (int(fields[11]) + int(fields[12])) * TICK_S)
