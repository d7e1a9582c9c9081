"""What hot statements cost: what they take, whatever lies around it, by the index that is meant."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest
from psycopg import sql

from forthwith.engine.ports import QUEUE_START
from forthwith.store.postgres import HOT_SETTINGS, UPKEEP_SETTINGS
from forthwith.store.statements import statements
from tests.store.virtual_worker import (
    DEFER_COLUMNS,
    VirtualWorker,
    defer,
    new_job,
    observed,
    run,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.databases import Databases

    Connection = psycopg.AsyncConnection[Any]

FILL = """
insert into forthwith.job (queue, task, state, lock, scheduled_at, priority)
select 'other', 'work', 'ready'::forthwith.job_state, null::text, null::timestamptz, number % 3
from generate_series(1, 60000) number
union all
select 'default', 'work', 'scheduled', null, now() + number * interval '1 minute', 0
from generate_series(1, 30000) number
union all
select 'default', 'work', case number when 1 then 'ready' else 'blocked' end::forthwith.job_state,
    'big', null, 0
from generate_series(1, 20000) number
union all
select 'default', 'work', 'ready', null, null, 1 from generate_series(1, 500)
"""
POSITION = {"after_ranks": [QUEUE_START.rank], "after_ids": [QUEUE_START.id]}
#: 8 KiB pages. A statement on 10 rows may touch a few for each, a scan of the table takes thousands.
PAGES_MAX = 400
BIG_LAST_SEEN = "2026-01-02 03:04:05.678901+00"
#: For the 50 jobs of one worker; reading the table would take 2,800 more. A rescue writes a lot for each.
SWEEP_PAGES_MAX = {"rescue": 2500, "release_orphans": PAGES_MAX}
#: For 1,000 jobs: each row is found, locked, written, and noted in the history of attempts.
BATCH_PAGES_MAX = 40_000


class Plan(NamedTuple):
    """What an execution did."""

    indexes: set[str]
    sequential: set[str]
    rows_max: float
    """The most rows that any node gave or threw away."""
    pages: int


@pytest.fixture(scope="module", params=["analyzed", "never analyzed"])
def big_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """The URL of a database with 110,500 live jobs; tests roll back what they do to it."""
    name, url = databases.create_clone()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("alter table forthwith.job set (autovacuum_enabled = off)")
        connection.execute(FILL)
        connection.execute(
            "insert into forthwith.worker"
            " (id, name, host, pid, concurrency, lease_expires_at, last_seen)"
            " overriding system value values (1, 'big', 'test', 1, 1, 'infinity', %s)",
            [BIG_LAST_SEEN],
        )
        if request.param == "analyzed":
            connection.execute("vacuum analyze forthwith.job")
    yield url
    databases.drop(name)


@pytest.fixture
async def hot(big_url: str) -> AsyncIterator[Connection]:
    """A connection with the settings of the hot statements, in a transaction that rolls back."""
    async with await psycopg.AsyncConnection.connect(big_url, autocommit=True) as connection:
        await connection.execute(HOT_SETTINGS)
        async with connection.transaction(force_rollback=True):
            yield connection


async def explain(connection: Connection, statement: str, **parameters: Any) -> Plan:
    """Execute a statement, and say what it touched."""
    names: list[str] = []

    def numbered(match: re.Match[str]) -> str:
        if match[1] not in names:
            names.append(match[1])
        return f"${names.index(match[1]) + 1}"

    text = re.sub(r"%\((\w+)\)s", numbered, statements()[statement].decode())
    await connection.execute(f"prepare explained as {text.replace('%%', '%')}".encode())
    arguments = sql.SQL(", ").join(sql.Literal(parameters[name]) for name in names)
    call = sql.SQL("explained ({})").format(arguments) if names else sql.SQL("explained")
    cursor = await connection.execute(
        sql.SQL("explain (analyze, buffers, format json) execute {}").format(call)
    )
    [([plan],)] = await cursor.fetchall()
    nodes = list(walk(plan["Plan"]))
    return Plan(
        indexes={node["Index Name"] for node in nodes if "Index Name" in node},
        sequential={node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"},
        rows_max=max(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            for node in nodes
        ),
        pages=plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"],
    )


async def sequential_scans(connection: Connection) -> int:
    """Return how often this session has read the whole table of jobs, of late: compare two answers."""
    cursor = await connection.execute("select pg_stat_get_xact_numscans('forthwith.job'::regclass)")
    [(scans,)] = await cursor.fetchall()
    return int(scans)


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan's nodes."""
    yield node
    for child in node.get("Plans", []):
        yield from walk(child)


def assert_cheap(plan: Plan, *indexes: str, rows_max: int = 40) -> None:
    """The statement used these indexes, scanned no table, and touched no more than it took."""
    assert set(indexes) <= plan.indexes, plan
    assert "job" not in plan.sequential, plan
    assert plan.rows_max <= rows_max, plan
    assert plan.pages <= PAGES_MAX, plan


async def test_claim_of_a_small_queue_beside_a_big_one(hot: Connection) -> None:
    plan = await explain(
        hot,
        "claim",
        queues=["default"],
        limits=[10],
        **POSITION,
        unknown_tasks=[],
        crashed_too=True,
        worker_id=1,
    )
    assert_cheap(plan, "job_ready", "job_pkey")


async def test_claim_continues_deep_in_a_queue(hot: Connection) -> None:
    cursor = await hot.execute(
        "select -priority, id from forthwith.job where queue = 'other' and state = 'ready'"
        " order by -(priority::bigint), id offset 40000 limit 1"
    )
    [(rank, job_id)] = await cursor.fetchall()
    plan = await explain(
        hot,
        "claim",
        queues=["other"],
        limits=[10],
        after_ranks=[rank],
        after_ids=[job_id],
        unknown_tasks=[],
        crashed_too=True,
        worker_id=1,
    )
    assert_cheap(plan, "job_ready")


async def test_shares_of_two_queues(hot: Connection) -> None:
    plan = await explain(
        hot,
        "claim_shares",
        queues=["default", "other"],
        after_ranks=[QUEUE_START.rank] * 2,
        after_ids=[QUEUE_START.id] * 2,
        limit=10,
        unknown_tasks=[],
    )
    assert_cheap(plan, "job_ready")


async def test_claim_of_a_suspect(hot: Connection) -> None:
    plan = await explain(hot, "claim_suspect", queues=["default"], unknown_tasks=[], worker_id=1)
    assert_cheap(plan, "job_suspect")


@pytest.mark.parametrize("statement", ["complete", "retry", "release"])
async def test_outcomes_of_ten_jobs(hot: Connection, statement: str) -> None:
    cursor = await hot.execute(
        "update forthwith.job set worker_id = 1, lease_token = 1 where id in"
        " (select id from forthwith.job where queue = 'default' and priority = 1 limit 10)"
        " returning id"
    )
    ids = [job_id for (job_id,) in await cursor.fetchall()]
    outcomes: dict[str, Any] = {"ids": ids, "lease_tokens": [1] * 10}
    if statement == "complete":
        outcomes |= {"status": "succeeded", "keep": True, "spent": 1}
    if statement == "retry":
        nothing = [None] * 10
        outcomes |= {
            "retry_ats": nothing,
            "retry_ins": [0.0] * 10,
            "priorities": nothing,
            "queues": nothing,
            "locks": nothing,
        }
    plan = await explain(hot, statement, **outcomes)
    assert_cheap(plan, "job_pkey")


async def test_promotion_of_what_is_due(hot: Connection) -> None:
    await hot.execute(
        "update forthwith.job set scheduled_at = now() - interval '1 s' where id in"
        " (select id from forthwith.job where state = 'scheduled' order by scheduled_at limit 10)"
    )
    assert_cheap(await explain(hot, "promote_due", limit=2000), "job_scheduled")


async def test_nothing_is_due(hot: Connection) -> None:
    assert_cheap(await explain(hot, "promote_due", limit=2000), "job_scheduled")


async def test_outlook(hot: Connection) -> None:
    assert_cheap(await explain(hot, "outlook"), "job_scheduled", "job_suspect")


async def test_list_of_queues_with_ready_jobs(hot: Connection) -> None:
    assert_cheap(await explain(hot, "ready_queues", queues=None), "job_ready")


async def test_sort_behind_a_long_line(hot: Connection) -> None:
    await defer(hot, new_job(lock="big"), new_job(lock="big", priority=5), new_job(lock="new"))
    await hot.execute("select forthwith.sort_lines(0)")  # the first call of a session plans, too
    plan = await explain(hot, "sort_lines", batch_size=2000)
    assert plan.pages <= PAGES_MAX, plan


async def test_advance_of_a_long_line(hot: Connection) -> None:
    await hot.execute("delete from forthwith.job where lock = 'big' and state = 'ready'")
    await hot.execute("select forthwith.advance_lines('{}')")
    plan = await explain(hot, "advance_lines", locks=["big"])
    assert plan.pages <= PAGES_MAX, plan


async def test_defer_under_a_queueing_lock(hot: Connection) -> None:
    await defer(hot, new_job())  # the first call of a session plans, too
    columns = zip(*(new_job(queueing_lock=f"K{number}") for number in range(10)), strict=True)
    plan = await explain(
        hot,
        "defer",
        **dict(zip(DEFER_COLUMNS, map(list, columns), strict=False)),
        always_notify=False,
    )
    assert plan.pages <= PAGES_MAX, plan


async def test_defer_of_a_batch_that_is_alike(hot: Connection) -> None:
    batch = {
        **new_job(task="work")._asdict(),
        "args": json.dumps([{"number": number} for number in range(10)]),
        "always_notify": False,
    }
    await hot.execute(statements()["defer_alike"], batch)  # the first call of a session plans, too
    scans = await sequential_scans(hot)
    plan = await explain(hot, "defer_alike", **batch)
    assert plan.pages <= PAGES_MAX, plan
    assert await sequential_scans(hot) == scans


@pytest.mark.parametrize("statement", ["rescue", "release_orphans"])
async def test_jobs_of_one_worker_are_found_without_reading_the_table(
    big_url: str, statement: str
) -> None:
    parameters = {
        "rescue": {
            "worker_ids": [1],
            "last_seens": [BIG_LAST_SEEN],
            "sessionless": [True],
            "batch_size": 1000,
            "done_channel": "forthwith_done",
        },
        "release_orphans": {"worker_id": 1, "known_ids": [1, 2]},
    }
    async with await psycopg.AsyncConnection.connect(big_url, autocommit=True) as connection:
        await connection.execute(UPKEEP_SETTINGS)
        await connection.execute(
            "update forthwith.job set worker_id = 1, claimed_at = now() where id between 50 and 99"
        )
        await connection.execute("vacuum analyze forthwith.job")
        async with connection.transaction(force_rollback=True):
            scans = await sequential_scans(connection)
            plan = await explain(connection, statement, **parameters[statement])
            assert await sequential_scans(connection) == scans
    assert plan.pages <= SWEEP_PAGES_MAX[statement], plan


async def test_jobs_of_a_big_dead_worker_are_rescued_in_batches_that_cost_what_they_take(
    database_url: str,
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("alter table forthwith.job set (autovacuum_enabled = off)")
        await connection.execute(UPKEEP_SETTINGS)
        await connection.execute(FILL)
        await connection.execute(
            "with worker as (insert into forthwith.worker"
            " (name, host, pid, concurrency, lease_expires_at)"
            " values ('big', 'test', 1, 1, 'infinity') returning id)"
            " update forthwith.job set worker_id = worker.id, claimed_at = now() from worker"
            " where job.id <= 20000"
        )
        await connection.execute("vacuum analyze forthwith.job")
        [(worker_id,)] = await (
            await connection.execute("select id from forthwith.worker")
        ).fetchall()
        gone = await observed(connection, worker_id)
        given = {
            "worker_ids": [worker_id],
            "last_seens": [gone[0].last_seen.isoformat()],
            "sessionless": [True],
            "batch_size": 1000,
            "done_channel": "forthwith_done",
        }
        pages = []
        for _ in range(20):
            async with connection.transaction():
                scans = await sequential_scans(connection)
                plan = await explain(connection, "rescue", **given)
                assert await sequential_scans(connection) == scans
            await connection.execute("deallocate explained")
            assert plan.rows_max == 1000
            pages.append(plan.pages)
        assert max(pages) <= BATCH_PAGES_MAX, pages
        assert await run(connection, "list_workers") == []


async def test_claims_of_fresh_rows_touch_no_index(
    worker: VirtualWorker, connection: Connection
) -> None:
    for _ in range(20):
        await defer(connection, *(new_job(queue=queue) for queue in ("a", "b") * 50))
        while jobs := await worker.claim(100):
            await worker.succeed(*jobs)
    await worker.store.close()
    updates = "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'job'"
    for _ in range(1000):  # the statistics of a closed session come when it has gone
        await connection.execute("select pg_stat_force_next_flush()")
        [(updated, in_place)] = await (await connection.execute(updates)).fetchall()
        if updated >= 2000:
            break
    assert updated == 2000
    assert in_place >= 0.9 * updated


def test_every_statement_says_what_it_does() -> None:
    for name, text in statements().items():
        assert text.startswith(b"-- "), name
