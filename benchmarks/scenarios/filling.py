"""Tables that are full of jobs which nobody is to run: made by SQL, as the peer itself would leave them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import psycopg

PEERS = Path(__file__).parent.parent / "peers"
FILE = "filling.sql"
# No triggers: history's rows would note that they were deferred, and each would notify somebody.
QUIETLY = "set session_replication_role = replica"


@dataclass(frozen=True, slots=True)
class Filling:
    """How many jobs of each sort. All but the finished ones are live, and stay so."""

    finished: int
    scheduled: int
    waiting: int
    """In another queue."""
    locked: int
    """Behind one lock, whose holder does not end."""

    def within(self, sorts: dict[str, str]) -> Filling:
        """The same without the sorts that a peer does not have."""
        return Filling(
            **{sort: size if sort in sorts else 0 for sort, size in asdict(self).items()}
        )


def statements(peer: str) -> dict[str, str]:
    """The peer's statements by the sort of jobs that they make; empty if it has none.

    In the file each stands below a line `-- sort`, and has one parameter: how many.
    """
    path = PEERS / peer / FILE
    return parsed(path.read_text()) if path.exists() else {}


def parsed(text: str) -> dict[str, str]:
    """What such a file says."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("-- "):
            lines = found.setdefault(line.removeprefix("-- ").strip(), [])
        elif line.strip():
            lines.append(line)
    return {sort: "\n".join(lines) for sort, lines in found.items()}


def fill(database: str, by_sort: dict[str, str], filling: Filling) -> None:
    """Make those jobs, and let the tables settle: vacuum, analyse, checkpoint."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(QUIETLY)
        for sort, text in by_sort.items():
            connection.execute(text.encode(), [getattr(filling, sort)])
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
