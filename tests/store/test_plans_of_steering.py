"""What pauses, results and progress cost: a claim looks at no more than the pause of its own queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from forthwith.engine.ports import QUEUE_START
from tests.store.test_plans import PAGES_MAX, POSITION, big_url, explain, hot

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.AsyncConnection[Any]

__all__ = ["big_url", "hot"]  # fixtures

HELD = 10


@pytest.fixture(params=["counted", "not counted"])
async def many_paused(hot: Connection, request: pytest.FixtureRequest) -> Connection:
    """The connection, with many paused queues, of which the planner knows or not."""
    await hot.execute(
        "insert into forthwith.queue_pause (queue)"
        " select 'paused ' || number from generate_series(1, 5000) number"
    )
    if request.param == "counted":
        await hot.execute("analyze forthwith.queue_pause")
    return hot


@pytest.mark.parametrize(
    ("statement", "parameters"),
    [
        ("claim", {"limits": [10], **POSITION, "crashed_too": True, "worker_id": 1}),
        ("claim_shares", {**POSITION, "limit": 10}),
        ("ready_queues", {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_claim_probes_the_pauses_of_its_queues_alone(
    many_paused: Connection, statement: str, parameters: dict[str, Any]
) -> None:
    plan = await explain(many_paused, statement, queues=["default"], unknown_tasks=[], **parameters)
    assert {"job_ready", "queue_pause_pkey"} <= plan.indexes, plan
    assert not {"job", "queue_pause"} & plan.sequential, plan
    assert plan.rows_max <= 40, plan
    assert plan.pages <= PAGES_MAX, plan


async def test_claim_of_a_paused_queue_touches_none_of_its_jobs(hot: Connection) -> None:
    await hot.execute("insert into forthwith.queue_pause (queue) values ('other')")
    plan = await explain(
        hot,
        "claim",
        queues=["other"],
        limits=[10],
        after_ranks=[QUEUE_START.rank],
        after_ids=[QUEUE_START.id],
        unknown_tasks=[],
        crashed_too=True,
        worker_id=1,
    )
    assert plan.pages <= 20, plan


async def test_progress_of_a_few_jobs_among_many(hot: Connection) -> None:
    cursor = await hot.execute(
        "update forthwith.job set worker_id = 1, lease_token = 1 where id in"
        " (select id from forthwith.job where queue = 'default' and priority = 1 limit %s)"
        " returning id",
        [HELD],
    )
    ids = [job_id for (job_id,) in await cursor.fetchall()]
    nothing = [None] * HELD
    written = await explain(
        hot,
        "write_progress",
        ids=ids,
        lease_tokens=[1] * HELD,
        dones=[1.0] * HELD,
        totals=nothing,
        notes=nothing,
    )
    await hot.execute("deallocate explained")
    forgotten = await explain(hot, "forget_progress", ids=ids, worker_id=1)
    for plan in (written, forgotten):
        assert "job_pkey" in plan.indexes, plan
        assert "job" not in plan.sequential, plan
        assert plan.pages <= PAGES_MAX, plan


async def test_looks_of_those_who_wait_for_results(hot: Connection) -> None:
    result = await explain(hot, "result", id=50)
    await hot.execute("deallocate explained")
    for plan in (result, await explain(hot, "no_longer_live", ids=list(range(1, 11)))):
        assert "job_pkey" in plan.indexes, plan
        assert "job" not in plan.sequential, plan
        assert plan.pages <= PAGES_MAX, plan
