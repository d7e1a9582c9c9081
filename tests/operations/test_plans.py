"""What questions cost on large tables: an index that is meant, and no more rows than they look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest

from forthwith.operations.search import WALKING
from forthwith.store.operator_pool import BEGIN_DEED
from forthwith.store.statements import statements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.support.databases import Databases

    Connection = psycopg.AsyncConnection[Any]

FILL = """
alter table forthwith.job set (autovacuum_enabled = off);
insert into forthwith.job (queue, task, state, lock, scheduled_at)
select
    'queue-' || number % 5, 'work',
    case when number % 3 = 0 then 'scheduled' else 'ready' end::forthwith.job_state,
    null, case when number % 3 = 0 then now() + interval '1 hour' end
from generate_series(1, 40000) number;
insert into forthwith.job (queue, task, state, lock)
select 'default', 'work', case number when 1 then 'ready' else 'blocked' end::forthwith.job_state, 'big'
from generate_series(1, 10000) number;
insert into forthwith.finished_job (
    id, lease_token, deferred_at, priority, attempts, status, crashes, crashes_max, abort_requested, queue,
    task, args)
select
    100000 + number, 1, now(), 0, 1,
    case when number % 100 = 0 then 'failed' else 'succeeded' end::forthwith.job_status, 0, 3, false,
    'default', 'work', '{}'
from generate_series(1, 60000) number;
insert into forthwith.failed_attempt (job_id, attempt, kind, exception_type)
select id, 1, 'failed', 'ValueError' from forthwith.finished_job where status = 'failed';
"""
ANYTHING: dict[str, Any] = dict.fromkeys(
    (
        *("states", "queue", "task", "lock", "worker_id"),
        *("deferred_after", "deferred_before", "ended_after", "texts", "ids"),
    )
)
WALK = {**ANYTHING, "below_id": 2**63 - 1, "down_to_id": 0, "size": 500}
#: Each row looked at may be on a page of its own, and be looked up in each of the partitions.
PAGES_MAX = 4000


class Plan(NamedTuple):
    """What an execution did."""

    indexes: set[str]
    sequential: set[str]
    rows_max: float
    pages: int


@pytest.fixture(scope="module", params=["analyzed", "never analyzed"])
def big_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """The URL of a database with 110,000 jobs."""
    name, url = databases.create_clone()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FILL)
        if request.param == "analyzed":
            connection.execute("vacuum analyze")
    yield url
    databases.drop(name)


@pytest.fixture
async def asking(big_url: str) -> AsyncIterator[Connection]:
    """A connection in a transaction as an operator's, which rolls back."""
    async with await psycopg.AsyncConnection.connect(big_url, autocommit=True) as connection:
        await connection.execute(BEGIN_DEED)
        yield connection
        await connection.rollback()


@pytest.fixture
async def walking(asking: Connection) -> Connection:
    """The same, as it is set when jobs are searched."""
    await asking.execute(WALKING)
    return asking


async def explain(connection: Connection, statement: str, **parameters: Any) -> Plan:
    """Execute a statement with these parameters, and say what it touched."""
    text = b"explain (analyze, buffers, format json) " + statements()[statement]
    cursor = await connection.execute(text, parameters, prepare=False)
    [([plan],)] = await cursor.fetchall()
    nodes = list(walk(plan["Plan"]))
    return Plan(
        indexes={node["Index Name"] for node in nodes if "Index Name" in node},
        sequential={
            node["Relation Name"]
            for node in nodes
            if node["Node Type"] == "Seq Scan" and node["Actual Loops"] > 0
        },
        rows_max=max(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
            for node in nodes
        ),
        pages=plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"],
    )


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan's nodes."""
    yield node
    for child in node.get("Plans", []):
        yield from walk(child)


def assert_bounded(plan: Plan, *indexes: str, rows_max: int) -> None:
    """It used indexes of these names, read no table through, and touched no more rows than that."""
    for index in indexes:
        assert any(index in used for used in plan.indexes), plan
    large = {"job", "finished_job", "failed_attempt"}
    assert not any(
        name == table or name.startswith(f"{table}_2")
        for name in plan.sequential
        for table in large
    ), plan
    assert plan.rows_max <= rows_max, plan
    assert plan.pages <= PAGES_MAX, plan


@pytest.mark.parametrize("below_id", [2**63 - 1, 20_000])
async def test_walk_of_live_jobs(walking: Connection, below_id: int) -> None:
    plan = await explain(walking, "op_walk_live", **{**WALK, "below_id": below_id, "queue": "none"})
    assert_bounded(plan, "job_pkey", rows_max=500)


async def test_walk_of_history(walking: Connection) -> None:
    plan = await explain(walking, "op_walk_finished", **{**WALK, "texts": ["nobody has this"]})
    assert_bounded(plan, "_id_idx", rows_max=501)


async def test_walk_of_the_unsuccessful(walking: Connection) -> None:
    plan = await explain(walking, "op_walk_unsuccessful", **WALK, status="failed")
    assert_bounded(plan, "_status_id_idx", rows_max=501)


async def test_walk_of_attempts(walking: Connection) -> None:
    plan = await explain(walking, "op_walk_attempts", **WALK, error="ValueError")
    assert_bounded(plan, "_job_id_idx", "job_pkey", rows_max=2_600)


@pytest.mark.parametrize(
    ("states", "chosen", "index"),
    [
        (["ready"], {"queue": "queue-3"}, "job_ready"),
        (["scheduled"], {}, "job_scheduled"),
        (["blocked"], {"lock": "big"}, "job_line"),
        (["suspect"], {}, "job_suspect"),
    ],
)
async def test_candidates(
    asking: Connection, states: list[str], chosen: dict[str, Any], index: str
) -> None:
    await asking.execute(WALKING)
    given = {"queue": None, "lock": None, **chosen}
    plan = await explain(asking, "op_candidates", states=states, cap=500, **given)
    assert_bounded(plan, index, rows_max=2_600)


async def test_running_jobs(asking: Connection) -> None:
    await asking.execute(
        "insert into forthwith.worker (name, host, pid, concurrency, lease_expires_at)"
        " values ('w', 'h', 1, 1, now())"
    )
    plan = await explain(asking, "op_running", worker_id=None, cap=500)
    assert "job_worker" in plan.indexes, plan
    assert "job" not in plan.sequential, plan


@pytest.mark.parametrize("statement", ["op_summaries", "op_states"])
async def test_jobs_by_their_ids(asking: Connection, statement: str) -> None:
    ids = [*range(1, 1000, 20), *range(100_001, 101_000, 20)]
    plan = await explain(asking, statement, ids=ids)
    assert_bounded(plan, "job_pkey", "_id_idx", rows_max=100)


@pytest.mark.parametrize("job_id", [50, 45_000, 100_100])
async def test_one_job(asking: Connection, job_id: int) -> None:
    plan = await explain(asking, "op_job", id=job_id)
    assert_bounded(plan, "job_pkey", rows_max=2)


async def test_what_a_job_waits_for(asking: Connection) -> None:
    for job_id in (39_999, 49_999):  # far back in its queue, and in its line
        plan = await explain(asking, "op_waits", id=job_id)
        assert_bounded(plan, "job_pkey", "job_ready", rows_max=1_001)


async def test_time_to_id(asking: Connection) -> None:
    plan = await explain(asking, "op_id_at", at="2001-01-01 00:00:00+00")
    assert_bounded(plan, "job_pkey", "_id_idx", rows_max=200)


async def test_errors_of_the_last_hour(asking: Connection) -> None:
    plan = await explain(asking, "op_error_groups", within_s=3600.0, cap=100)
    assert "_id_idx" in " ".join(plan.indexes), plan
    assert "finished_job" not in " ".join(plan.sequential), plan
    assert plan.rows_max <= 700, plan
    counted = await explain(asking, "op_count_attempts", within_s=3600.0, cap=100)
    assert_bounded(counted, "_at_idx", rows_max=100)


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        ("op_pick_live", {"ids": list(range(1, 100)), "states": ["ready"]}),
        ("op_pick_finished", {"ids": list(range(100_001, 100_100)), "states": ["succeeded"]}),
        ("op_delete_finished", {"ids": list(range(100_001, 100_100))}),
        ("op_forget", {"ids": list(range(100_001, 100_100))}),
        ("op_reschedule", {"ids": list(range(1, 100)), "at": "2100-01-01 00:00:00+00"}),
    ],
)
async def test_deeds_on_a_batch(
    asking: Connection, statement: str, parameters: dict[str, Any]
) -> None:
    plan = await explain(asking, statement, **parameters)
    assert_bounded(plan, rows_max=400)


async def test_census_reads_the_table_once(asking: Connection) -> None:
    await asking.execute("set local enable_seqscan = on")
    plan = await explain(asking, "op_census", cap=2_000_000)
    assert plan.rows_max == 50_000
    capped = await explain(asking, "op_census", cap=1_000)
    assert capped.rows_max == 1_000
