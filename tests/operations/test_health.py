"""What is wrong, in words: each rule by itself, and the facts as a real server gives them."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from forthwith.operations import Desk, Finding, QueueState, TaskState, WorkerState
from forthwith.operations.census import LiveCount
from forthwith.operations.facts import Facts, Holder, Server, TableHealth, gather_facts, skew_s
from forthwith.operations.health import findings
from tests.store.virtual_worker import VirtualWorker, defer, new_job, rescue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import psycopg

    Connection = psycopg.AsyncConnection[Any]
    MakeWorker = Callable[..., Awaitable[VirtualWorker]]

NOW = datetime.datetime(2030, 1, 1, 12, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
QUEUE = QueueState(
    name="mail",
    paused_at=None,
    ready=3,
    blocked=0,
    scheduled=0,
    running=0,
    failed_last_hour=0,
    ended_per_minute=0.0,
    oldest_waiting_at=NOW - MINUTE,
    listeners=1,
    is_exact=True,
)
TASK = TaskState(
    name="send",
    is_known=True,
    known_by=1,
    waiting=3,
    running=0,
    ended_last_hour=0,
    failed_last_hour=0,
    failure_rate=None,
    run_p50_s=None,
    run_p95_s=None,
    wait_p50_s=None,
    wait_p95_s=None,
    is_exact=True,
)
WORKER = WorkerState(
    id=7,
    name="w",
    host="h",
    pid=42,
    queues=None,
    concurrency=5,
    running=5,
    started_at=NOW - MINUTE,
    last_seen=NOW,
    lease_expires_at=NOW + MINUTE,
    lease_left_s=60.0,
    is_silent=False,
    tasks_known=["send"],
)
TABLE = TableHealth(
    name="job", live_rows=10, dead_rows=5, table_bytes=8192, is_left_out=False, vacuumed_at=None
)
WELL = Facts(now=NOW, queues=[QUEUE], tasks=[TASK], workers=[WORKER], tables=[TABLE])


def only(facts: Facts) -> Finding:
    """Return the one finding."""
    [finding] = findings(facts)
    assert finding.title
    assert finding.detail.endswith((".", "in it.")), finding.detail
    assert finding.advice.endswith((".", "`.")), finding.advice
    return finding


def codes(facts: Facts) -> list[str]:
    """Return the findings' codes."""
    return [finding.code for finding in findings(facts)]


def test_all_is_well() -> None:
    assert findings(WELL) == []
    assert findings(Facts(now=NOW)) == []


def test_no_worker() -> None:
    finding = only(replace(WELL, workers=[], queues=[replace(QUEUE, listeners=0)]))
    assert (finding.severity, finding.code) == ("error", "no-worker")
    assert finding.detail == "3 jobs are due, and no live worker is registered."
    inexact = only(replace(WELL, workers=[], queues=[replace(QUEUE, ready=1, is_exact=False)]))
    assert inexact.detail.startswith("at least 1 job is due")
    later = replace(QUEUE, ready=0, scheduled=9, oldest_waiting_at=None)
    assert codes(replace(WELL, workers=[], queues=[later])) == []


def test_no_listener() -> None:
    finding = only(replace(WELL, queues=[QUEUE, replace(QUEUE, name="a b", listeners=0)]))
    assert (finding.severity, finding.code) == ("error", "no-listener")
    assert finding.title == "No worker listens to queue 'a b'"
    assert finding.advice == "Start a worker for it: `forthwith worker --queues 'a b'`."


def test_many_of_a_kind_do_not_hide_the_rest() -> None:
    queues = [
        replace(QUEUE, name=f"q{number}", ready=number, listeners=0) for number in range(1, 31)
    ]
    found = findings(replace(WELL, queues=queues, server=Server(autovacuum=False)))
    alike = [finding for finding in found if finding.code == "no-listener"]
    assert [finding.title for finding in alike[:2]] == [
        "No worker listens to queue 'q30'",
        "No worker listens to queue 'q29'",
    ]
    assert len(alike) == 11
    assert alike[-1].title == "20 more of the kind no-listener"
    assert "No worker listens to queue 'q1'" in alike[-1].detail
    assert alike[-1].severity == "error"
    assert "autovacuum-off" in {finding.code for finding in found}


def test_unknown_task() -> None:
    unknown = replace(TASK, name="gone", is_known=False, known_by=0)
    finding = only(replace(WELL, tasks=[TASK, unknown]))
    assert (finding.severity, finding.code) == ("error", "unknown-task")
    assert finding.title == "No worker knows task 'gone'"
    assert "3 jobs wait for a worker that knows it" in finding.detail
    silent_on_tasks = replace(WORKER, tasks_known=None)
    assert codes(replace(WELL, tasks=[unknown], workers=[silent_on_tasks])) == []
    assert codes(replace(WELL, tasks=[replace(unknown, waiting=0)])) == []


def test_silent_worker() -> None:
    finding = only(replace(WELL, workers=[WORKER, replace(WORKER, id=8, is_silent=True)]))
    assert (finding.severity, finding.code) == ("warning", "silent-worker")
    assert finding.title == "Worker 8 is silent"
    assert "w (pid 42 on h) was last seen at 2030-01-01 12:00:00 UTC" in finding.detail


def test_paused_queue() -> None:
    finding = only(replace(WELL, queues=[replace(QUEUE, paused_at=NOW, scheduled=1)]))
    assert (finding.severity, finding.code) == ("warning", "paused-queue")
    assert finding.detail == "Since 2030-01-01 12:00:00 UTC, and 4 jobs wait in it."
    empty = replace(QUEUE, paused_at=NOW, ready=0, oldest_waiting_at=None)
    assert codes(replace(WELL, queues=[empty])) == []


def test_overdue() -> None:
    old = LiveCount("mail", "send", 0, 3, 0, 0, NOW - 6 * MINUTE)
    assert codes(replace(WELL, counts=[old])) == []  # all workers are busy
    idle = replace(WELL, counts=[old], workers=[replace(WORKER, running=4)])
    assert (only(idle).severity, only(idle).code) == ("warning", "overdue")
    assert "of task 'send', could have run since 2030-01-01 11:54:00 UTC" in only(idle).detail
    assert "`forthwith jobs --state ready --queue mail --task send`" in only(idle).advice
    elsewhere = replace(WORKER, running=0, queues=["other"])
    assert codes(replace(WELL, counts=[old], workers=[WORKER, elsewhere])) == []
    fresh, later = replace(old, oldest_waiting_at=NOW), replace(old, oldest_waiting_at=None)
    assert codes(replace(idle, counts=[fresh, later])) == []
    paused = replace(QUEUE, paused_at=NOW, ready=0, oldest_waiting_at=None)
    assert codes(replace(idle, queues=[paused])) == []


def test_overdue_is_not_what_no_worker_knows() -> None:
    gone = LiveCount("mail", "gone", 0, 1, 0, 0, NOW - 9 * MINUTE)
    idle = replace(WELL, counts=[gone], workers=[replace(WORKER, running=0)])
    assert codes(idle) == []
    silent_on_tasks = replace(WORKER, running=0, tasks_known=None)
    assert codes(replace(idle, workers=[silent_on_tasks])) == ["overdue"]
    known = replace(gone, task="send", oldest_waiting_at=NOW - 8 * MINUTE)
    both = only(replace(idle, counts=[gone, known, replace(known, task="other")]))
    assert "'send'" in both.detail


def test_poison() -> None:
    finding = only(replace(WELL, poison_count=2, poison_last_id=99))
    assert (finding.severity, finding.code) == ("warning", "poison")
    assert "2 in the last hour" in finding.detail
    assert "job 99" in finding.detail


def test_old_snapshots() -> None:
    holders = [
        Holder("session", "pid 5", NOW - MINUTE, "user u, idle in transaction"),
        Holder("prepared", "gid", NOW, "owner u"),
        Holder("slot", "standby", None, "physical, inactive"),
    ]
    found = {finding.code: finding for finding in findings(replace(WELL, holders=holders))}
    assert list(found) == ["old-snapshot", "old-prepared", "old-slot"]
    assert "pid 5" in found["old-snapshot"].title
    assert "pg_terminate_backend(5)" in found["old-snapshot"].advice
    assert "since 2030-01-01 11:59:00 UTC" in found["old-snapshot"].detail
    assert "rollback prepared 'gid'" in found["old-prepared"].advice
    assert "standby" in found["old-slot"].title


def test_tables() -> None:
    bloated = replace(TABLE, dead_rows=200_000, live_rows=1000)
    assert (only(replace(WELL, tables=[bloated])).severity) == "note"
    assert (only(replace(WELL, tables=[bloated])).code) == "bloat"
    just_vacuumed = replace(bloated, vacuumed_at=NOW - MINUTE)
    history = replace(bloated, name="finished_job_20300101")
    large = replace(bloated, live_rows=10**6)
    assert codes(replace(WELL, tables=[just_vacuumed, history, large])) == []
    assert codes(replace(WELL, tables=[replace(bloated, vacuumed_at=NOW - 11 * MINUTE)])) == [
        "bloat"
    ]
    left_out = only(replace(WELL, tables=[replace(TABLE, is_left_out=True)]))
    assert (left_out.severity, left_out.code) == ("warning", "autovacuum-off")
    off = only(replace(WELL, server=Server(autovacuum=False)))
    assert (off.severity, off.code) == ("error", "autovacuum-off")


def test_partitions() -> None:
    stray = replace(TABLE, name="finished_job_default", live_rows=12)
    assert only(replace(WELL, tables=[stray])).severity == "warning"
    missing = only(replace(WELL, missing_partitions=["finished_job_20300102"]))
    assert (missing.severity, missing.code) == ("note", "partitions-missing")
    assert "finished_job_20300102" in missing.detail


def test_clock() -> None:
    assert codes(replace(WELL, clock_skew_s=0.9)) == []
    assert "2.0 s ahead of" in only(replace(WELL, clock_skew_s=2.0)).detail
    assert "3.0 s behind" in only(replace(WELL, clock_skew_s=-3.0)).detail


def test_skew_is_what_the_round_trip_does_not_explain() -> None:
    second = datetime.timedelta(seconds=1)
    assert skew_s(NOW, NOW + second, NOW + 2 * second) == 0
    assert skew_s(NOW, NOW + 5 * second, NOW + 2 * second) == 3
    assert skew_s(NOW, NOW - 4 * second, NOW + 2 * second) == -4


def test_schema() -> None:
    behind = only(replace(WELL, pending_migrations=["0009_x"]))
    assert (behind.severity, behind.code) == ("error", "schema-behind")
    ahead = only(replace(WELL, unknown_migrations=["0010_y"]))
    assert (ahead.severity, ahead.code) == ("note", "schema-ahead")


def test_durability() -> None:
    severe = only(replace(WELL, server=Server(fsync=False, full_page_writes=False)))
    assert (severe.severity, severe.code) == ("error", "not-durable")
    assert severe.title == "The server runs without fsync and full_page_writes"
    lax = only(replace(WELL, server=Server(synchronous_commit="off")))
    assert lax.severity == "warning"
    assert codes(replace(WELL, server=Server(synchronous_commit="local"))) == []


def test_worst_first() -> None:
    facts = replace(WELL, workers=[], poison_count=1, unknown_migrations=["x"])
    severities = [finding.severity for finding in findings(facts)]
    assert severities == ["error", "warning", "note"]


async def facts_of(desk: Desk) -> Facts:
    """Ask the server."""
    return await gather_facts(
        desk._queries,
        await desk.queues(),
        await desk.tasks(),
        await desk.workers(),
        await desk.live_counts(),
    )


async def test_facts_of_a_server_that_is_well(desk: Desk, connection: Connection) -> None:
    facts = await facts_of(desk)
    assert abs((facts.now - datetime.datetime.now(tz=datetime.UTC)).total_seconds()) < 3600
    assert facts.clock_skew_s == 0.0  # the same machine's
    assert {table.name for table in facts.tables} >= {"job", "worker", "finished_job_default"}
    assert (facts.missing_partitions, facts.pending_migrations, facts.unknown_migrations) == (
        [],
        [],
        [],
    )
    assert (facts.poison_count, facts.poison_last_id) == (0, None)


async def test_facts_of_what_is_wrong(
    desk: Desk, connection: Connection, other_connection: Connection, make_worker: MakeWorker
) -> None:
    dead = await make_worker(lease_s=0.01)
    [poison] = await defer(connection, new_job(crashes_max=1))
    [claimed] = await dead.claim()
    await connection.execute("update forthwith.job set started_at = now()")
    assert claimed.id == poison
    await rescue(connection, dead.worker_id)
    await connection.execute("alter table forthwith.worker set (autovacuum_enabled = off)")
    await connection.execute(
        "insert into forthwith.migration values ('9999_future', 'x', now(), null)"
    )
    await connection.execute("delete from forthwith.migration where name = '0006_observation'")
    await connection.execute(
        "do $$ begin execute format('drop table forthwith.finished_job_%s',"
        " to_char((now() at time zone 'utc')::date + 1, 'YYYYMMDD')); end $$"
    )
    async with other_connection.transaction():
        await other_connection.execute("select pg_current_xact_id()")
        async with desk._queries.question() as question:
            holders = await question.rows("op_health_snapshots", older_s=-10.0)
        facts = await facts_of(desk)
    pid = other_connection.info.backend_pid
    assert [holder["kind"] for holder in holders if holder["name"] == f"pid {pid}"] == ["session"]
    assert facts.holders == []  # not for long yet
    assert (facts.poison_count, facts.poison_last_id) == (1, poison)
    assert facts.unknown_migrations == ["9999_future"]
    assert facts.pending_migrations == ["0006_observation"]
    assert len(facts.missing_partitions) == 1
    assert [table.name for table in facts.tables if table.is_left_out] == ["worker"]


async def test_desk_tells_the_findings(desk: Desk, connection: Connection) -> None:
    await defer(connection, new_job(queue="mail"))
    found = {finding.code: finding for finding in await desk.findings()}
    assert "1 job is due" in found["no-worker"].detail
    assert (await desk.overview()).findings[0].severity == "error"
