"""How much room jobs take in the database: what is counted, and what is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from benchmarks.scenarios import disk
from benchmarks.scenarios.contender import Contender
from benchmarks.scenarios.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 1_000
BODY_BYTES = 4_000
"""Too many for a page beside others: PostgreSQL stores them apart."""
PLAN = Plan("default", concurrency=100, batch_size=1000)


@pytest.fixture
def connection(empty_database_url: str) -> Iterator[psycopg.Connection]:
    """A connection to a database with one table, which has an index and no rows."""
    with psycopg.connect(empty_database_url, autocommit=True) as found:
        found.execute("create table kept (id bigint primary key, body text)")
        found.execute("alter table kept alter column body set storage external")
        yield found


def fill(connection: psycopg.Connection) -> None:
    """Add the rows."""
    connection.execute(
        "insert into kept select number, repeat('x', %s) from generate_series(1, %s) number",
        [BODY_BYTES, ROWS],
    )


def test_size_counts_rows_indexes_and_what_is_stored_apart(
    connection: psycopg.Connection, empty_database_url: str
) -> None:
    before = disk.size(empty_database_url)
    fill(connection)
    grown = disk.size(empty_database_url) - before
    assert ROWS * BODY_BYTES <= grown < 2 * ROWS * BODY_BYTES
    connection.execute("create index on kept (id)")
    assert disk.size(empty_database_url) - before > grown


def test_size_leaves_out_the_servers_own_tables(
    connection: psycopg.Connection, empty_database_url: str
) -> None:
    before = disk.size(empty_database_url)
    connection.execute("create view seen as select * from kept")  # rows in the catalogue alone
    connection.execute("comment on view seen is 'what is in a comment'")
    assert disk.size(empty_database_url) == before


@pytest.mark.parametrize(("most", "measured"), [(10, 10), (10**9, disk.MOST)])
async def test_bytes_are_those_of_a_job_beyond_the_empty_tables(
    monkeypatch: pytest.MonkeyPatch, most: int, measured: int
) -> None:
    sizes = iter([1_000, 1_000 + 300 * measured, 1_000 + 200 * measured])
    asked: list[int] = []

    async def nothing(*_: Any, **__: Any) -> None: ...

    async def load(_: Contender, __: Plan, ___: str, jobs: int, **____: Any) -> float:
        asked.append(jobs)
        return 1.0

    async def problems(*_: Any, **__: Any) -> list[str]:
        return []

    monkeypatch.setattr(disk, "size", lambda _: next(sizes))
    monkeypatch.setattr(disk, "install", nothing)
    monkeypatch.setattr(disk, "work", nothing)
    monkeypatch.setattr(disk, "load", load)
    monkeypatch.setattr(disk, "problems", problems)
    contender = Contender("peer", ["true"], {"sizes": {"burn_down": most}}, None)  # type: ignore[arg-type]
    found = await disk.run(contender, PLAN, "unused", 1)
    assert asked == [measured]
    assert found.values == {"live_bytes": 300, "finished_bytes": 200}
