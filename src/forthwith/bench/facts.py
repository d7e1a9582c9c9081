"""What is known of a server and of the way to it: asked for once, before the first run."""

from __future__ import annotations

import platform
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

import forthwith
from forthwith.bench.resources import load_average, usable_cores

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from forthwith.bench.place import Place

PROBES = 50
SETTINGS = (
    "autovacuum",
    "checkpoint_timeout",
    "commit_delay",
    "fsync",
    "full_page_writes",
    "jit",
    "log_min_duration_statement",
    "log_statement",
    "max_connections",
    "max_wal_size",
    "shared_buffers",
    "synchronous_commit",
    "synchronous_standby_names",
    "track_commit_timestamp",
    "wal_compression",
    "wal_level",
    "wal_sync_method",
)
_UNIT_BYTES = {"8kB": 8192, "kB": 1024, "MB": 1024**2, "B": 1, "16MB": 16 * 1024**2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """The conditions of a measurement. Bytes and seconds unless the name says otherwise."""

    forthwith_version: str
    python_version: str
    system: str
    cores: int
    load_average: float | None
    server: str
    """`embedded` or `yours`."""
    server_version: str
    is_local: bool
    """Whether the server is reached without a network: by a socket, or on the loopback."""
    settings: Mapping[str, str]
    """As `show` writes them."""
    sizes: Mapping[str, int]
    """Those of the settings that are sizes, in bytes."""
    round_trip_ms: float
    commit_ms: float
    """A commit of one row, the round trip included; median."""
    connections_free: int
    oldest_snapshot_transactions: int
    """How many transactions old the oldest snapshot is that somebody else holds."""


async def gather_facts(place: Place) -> Facts:
    """Ask the server, and time the way to it. Raises psycopg's errors."""
    async with await place.connect() as connection:
        rows = await _rows(
            connection,
            "select name, current_setting(name), setting, unit from pg_settings where name = any (%s)",
            [list(SETTINGS)],
        )
        [(version, address, port_is_loopback)] = await _rows(
            connection,
            "select current_setting('server_version'), inet_server_addr()::text,"
            " coalesce(inet_server_addr() <<= '127.0.0.0/8' or host(inet_server_addr()) = '::1', true)",
        )
        return Facts(
            forthwith_version=forthwith.__version__,
            python_version=platform.python_version(),
            system=f"{platform.system()} {platform.machine()}",
            cores=usable_cores(),
            load_average=load_average(),
            server="embedded" if place.is_embedded else "yours",
            server_version=str(version).split()[0],
            is_local=address is None or port_is_loopback,
            settings={name: shown for name, shown, _, _ in rows},
            sizes={
                name: int(raw) * _UNIT_BYTES[unit]
                for name, _, raw, unit in rows
                if unit in _UNIT_BYTES
            },
            round_trip_ms=await _median_ms(lambda: connection.execute("select 1")),
            commit_ms=await _commit_ms(place, connection),
            connections_free=await _connections_free(connection),
            oldest_snapshot_transactions=await oldest_snapshot(connection),
        )


async def oldest_snapshot(connection: psycopg.AsyncConnection[Any]) -> int:
    """Return the age, in transactions, of the oldest snapshot that others hold; 0: nobody holds one."""
    [(age,)] = await _rows(
        connection,
        """
        select coalesce(max(age(backend_xmin)), 0) from pg_stat_activity
        where pid <> pg_backend_pid()
          and application_name <> current_setting('application_name')
          and (backend_type is null or backend_type = 'client backend')
        """,
    )
    return int(age)


async def _connections_free(connection: psycopg.AsyncConnection[Any]) -> int:
    [(free,)] = await _rows(
        connection,
        """
        select current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - (select count(*) from pg_stat_activity
               where backend_type is null or backend_type = 'client backend')
        """,
    )
    return int(free)


async def _commit_ms(place: Place, connection: psycopg.AsyncConnection[Any]) -> float:
    table = sql.Identifier(place.schema, "probe")
    insert = sql.SQL("insert into {} values (1)").format(table)
    await connection.execute(sql.SQL("create table {} (number integer)").format(table))
    try:
        return await _median_ms(lambda: connection.execute(insert))
    finally:
        await connection.execute(sql.SQL("drop table {}").format(table))


async def _median_ms(call: Callable[[], Awaitable[object]]) -> float:
    took_ms = []
    for _ in range(PROBES):
        began_s = time.perf_counter()
        await call()
        took_ms.append((time.perf_counter() - began_s) * 1000)
    return round(statistics.median(took_ms), 3)


async def _rows(
    connection: psycopg.AsyncConnection[Any], query: str, parameters: list[Any] | None = None
) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(query.encode(), parameters)
    return await cursor.fetchall()
