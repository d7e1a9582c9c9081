"""Says what is wrong with the server and the schema. Every rule is a pure function of the facts."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from forthwith.operations.facts import table_rows
from forthwith.operations.finding import Finding
from forthwith.operations.waits import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    from forthwith.operations.facts import Facts, Holder, TableHealth

SKEW_MAX_S = 1.0
DEAD_ROWS_MIN = 100_000
DEAD_SHARE_MAX = 0.5
VACUUM_LATE = timedelta(minutes=10)


def holders(facts: Facts) -> Iterator[Finding]:
    for holder in facts.holders:
        title, advice = _about(holder)
        since = f" since {told(holder.since)}" if holder.since else ""
        yield Finding(
            "warning",
            f"old-{'snapshot' if holder.kind == 'session' else holder.kind}",
            title,
            f"{holder.detail}{since}. As long as it stays, dead rows can't be removed: tables grow, and"
            " claims become slow.",
            advice,
        )


def _about(holder: Holder) -> tuple[str, str]:
    if holder.kind == "session":
        pid = holder.name.removeprefix("pid ")
        return (
            f"A transaction is open for long: {holder.name}",
            f"End it, if nobody needs it: `select pg_terminate_backend({pid})`.",
        )
    if holder.kind == "prepared":
        gid = holder.name.replace("'", "''")
        return (
            f"A prepared transaction is left: {holder.name}",
            f"Commit or roll it back: `rollback prepared '{gid}'`.",
        )
    return (
        f"A replication slot holds on to old rows: {holder.name}",
        "Let its consumer catch up or, if that is gone for good, drop the slot.",
    )


def bloat(facts: Facts) -> Iterator[Finding]:
    if not facts.server.autovacuum:
        yield Finding(
            "error",
            "autovacuum-off",
            "Autovacuum is off",
            "Nobody removes dead rows: tables grow without end.",
            "Set `autovacuum = on` in the server's configuration and reload it.",
        )
    for table in facts.tables:
        if table.is_left_out:
            yield Finding(
                "warning",
                "autovacuum-off",
                f"Autovacuum leaves out the table {table.name}",
                f"It has {table.dead_rows:,} dead rows beside {table.live_rows:,} live ones.",
                f"`alter table forthwith.{table.name} reset (autovacuum_enabled)`.",
            )
        elif _is_bloated(table, facts.now):
            yield Finding(
                "note",
                "bloat",
                f"The table {table.name} has many dead rows",
                f"{table.dead_rows:,} beside {table.live_rows:,} live ones, in"
                f" {table.table_bytes / 2**20:,.0f} MiB. Last vacuumed:"
                f" {told(table.vacuumed_at) if table.vacuumed_at else 'not known'}.",
                "Autovacuum should have come by itself: see in pg_stat_activity if its workers are busy.",
            )


def clock(facts: Facts) -> Iterator[Finding]:
    if abs(facts.clock_skew_s) > SKEW_MAX_S:
        direction = "ahead of" if facts.clock_skew_s > 0 else "behind"
        yield Finding(
            "warning",
            "clock-skew",
            "The clocks differ",
            f"The database's clock is {abs(facts.clock_skew_s):.1f} s {direction} this process's. Due times"
            " are by the database's, crons by the workers'.",
            "Let both hosts keep their clocks by NTP.",
        )


def schema(facts: Facts) -> Iterator[Finding]:
    if facts.pending_migrations:
        yield Finding(
            "error",
            "schema-behind",
            "The database's schema is older than this forthwith",
            f"It lacks {', '.join(facts.pending_migrations)}.",
            "Apply them: `forthwith migrate`.",
        )
    if facts.unknown_migrations:
        yield Finding(
            "note",
            "schema-ahead",
            "The database's schema is newer than this forthwith",
            f"It has {', '.join(facts.unknown_migrations)}.",
            "Upgrade forthwith here, too.",
        )


def _is_bloated(table: TableHealth, now: datetime) -> bool:
    """Whether dead rows stay: many are nothing special in a busy table that is vacuumed every minute."""
    is_history = table.name.startswith(("finished_job", "failed_attempt"))
    is_late = table.vacuumed_at is None or now - table.vacuumed_at > VACUUM_LATE
    return (
        not is_history
        and is_late
        and table.dead_rows > max(DEAD_ROWS_MIN, DEAD_SHARE_MAX * table.live_rows)
    )


def partitions(facts: Facts) -> Iterator[Finding]:
    strayed = sum(
        table_rows(facts.tables, name)
        for name in ("finished_job_default", "failed_attempt_default")
    )
    if strayed or facts.missing_partitions:
        lacks = (
            f" Missing: {', '.join(facts.missing_partitions)}." if facts.missing_partitions else ""
        )
        yield Finding(
            "warning" if strayed else "note",
            "partitions-missing",
            "History has no partition for some days",
            f"About {strayed:,} rows lie in the default partitions.{lacks}",
            "Workers make partitions for the days ahead. If none runs for days: `forthwith migrate` makes"
            " them, too.",
        )


def durability(facts: Facts) -> Iterator[Finding]:
    server = facts.server
    off = [
        name
        for name, is_on in (
            ("fsync", server.fsync),
            ("full_page_writes", server.full_page_writes),
            ("synchronous_commit", server.synchronous_commit != "off"),
        )
        if not is_on
    ]
    if off:
        lasting = "fsync" in off or "full_page_writes" in off
        yield Finding(
            "error" if lasting else "warning",
            "not-durable",
            f"The server runs without {' and '.join(off)}",
            "A crash of the server or its host can "
            + ("damage the database." if lasting else "lose jobs that were accepted just before."),
            "Switch it on in the server's configuration and reload it.",
        )


SERVER_RULES: Sequence[Callable[[Facts], Iterator[Finding]]] = (
    durability,
    schema,
    holders,
    bloat,
    partitions,
    clock,
)
