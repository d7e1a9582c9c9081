"""A worker that stands still in the middle of a completion: the server must be able to end that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

from forthwith.database.database import Database
from forthwith.database.line import Line
from forthwith.outcome import Failed, Succeeded
from forthwith.store.completing import IDLE_OWN_MS, Completing
from forthwith.store.recording import Recording
from tests.store.virtual_worker import FAILURE, defer, new_job

if TYPE_CHECKING:
    import pytest

    from tests.store.virtual_worker import VirtualWorker

FROZEN_S = 10.0
WRITERS = """
select a.state from pg_stat_activity a join pg_locks l using (pid)
where l.relation = 'forthwith.job'::regclass and l.mode = 'RowExclusiveLock'
"""


async def test_worker_that_freezes_amid_a_completion_is_idle_in_the_servers_eyes(
    worker: VirtualWorker,
    connection: psycopg.AsyncConnection[Any],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Found by `forthwith verify`, seed 2: else no timeout of the server's lets go of the jobs."""
    await defer(connection, new_job(), new_job())
    good, bad = await worker.claim(2)
    failures_of = Recording.failures_of
    states: list[str] = []

    def freeze(recording: Recording, accepted: set[int]) -> dict[str, list[Any]]:
        """Stand still between the statements of the transaction, as the whole process would."""
        with psycopg.connect(database_url, autocommit=True) as other:
            until_s = time.monotonic() + FROZEN_S
            while states[-1:] != ["idle in transaction"] and time.monotonic() < until_s:
                states.extend(state for (state,) in other.execute(WRITERS))
        return failures_of(recording, accepted)

    monkeypatch.setattr(Recording, "failures_of", freeze)
    outcomes = [Succeeded(good), Failed(bad, FAILURE)]
    assert await worker.store.complete(outcomes, repeated=False) == {good.id, bad.id}
    assert states[-1] == "idle in transaction"


async def test_transaction_of_a_task_lets_go_of_its_job_wherever_its_packets_vanish(
    worker: VirtualWorker, connection: psycopg.AsyncConnection[Any], database_url: str
) -> None:
    """Found by `forthwith verify`, seed 1: the job was locked before the server was told of a limit."""
    await defer(connection, new_job())
    [job] = await worker.claim(1)
    database = Database(database_url)
    completing = Completing(
        database, Line(database, settings=""), schema="forthwith", keeps=lambda _: True
    )
    steps = completing._steps(job, IDLE_OWN_MS)
    answers: tuple[list[tuple[object, ...]], ...] = (
        [("started", 1, "read committed", "7", 0, None)],
        [("10s",)],
    )
    names = [next(steps).name, *(steps.send(answer).name for answer in answers)]
    assert names == ["transaction_place", "limit_idling", "complete"]
    await completing.close()
