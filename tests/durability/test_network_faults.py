"""What networks do: connections cut, answers lost, packets that vanish, and latency."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.errors import DatabaseUnavailable
from forthwith.verify import tasks
from forthwith.verify.diary import Diary

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import forthwith
    from forthwith.verify.history import History, Run
    from forthwith.verify.lab import Lab

    MakeLab = Callable[..., Awaitable[Lab]]
    WaitUntil = Callable[..., Awaitable[Any]]
    RecordFigure = Callable[[str, float, str], None]

NOTICED_WITHIN_S = 30.0
LEFT_WITHIN_S = 5.0
# What a worker has at least: to listen, to renew its lease, and to claim.
CONNECTIONS = 3
# What a loaded machine may add to a deadline of the contract.
SLACK_S = 3.0
LISTENING = """
    select count(*) from pg_stat_activity
    where application_name = %s and datname = current_database() and query ilike 'listen%%'
    and backend_start > now() - make_interval(secs => %s)
"""


async def settled(lab: Lab, *, within_s: float = 30.0) -> History:
    """Wait until every job is final; return the history, which must hold."""
    verdict = await lab.settle(within_s=within_s)
    assert verdict.ok, verdict.text()
    return verdict.history


async def lost(lab: Lab, count: int, wait_until: WaitUntil) -> None:
    """Wait until so many answers were really lost."""
    await wait_until(lambda: lab.required_proxy.counters.replies_lost >= count)


def statuses(history: History) -> dict[str, str]:
    """Return each job's status, by its key."""
    return {job.key: job.status for job in history.jobs}


def effects(history: History) -> list[str]:
    """Return the keys of the rows that tasks wrote in their completing transactions."""
    return sorted(effect.key for effect in history.effects)


def runs(history: History, key: str) -> int:
    """Return how often the job with this key ran."""
    return len([run for run in history.runs if run.key == key])


# -- connections that are cut -----------------------------------------------------------------------


async def test_connections_cut_while_working_cost_no_job_and_no_effect(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(proxy=True)
    workers = [lab.start_worker(proxied=True, concurrency=4) for _ in range(2)]
    await lab.wait_ready()
    proxy = lab.required_proxy
    for batch in range(4):
        for worker in workers:  # a cut before they are back from the last one would meet nobody
            await wait_until(
                lambda name=worker.name: proxy.connected(name) >= CONNECTIONS, deadline_s=30
            )
        await lab.defer_batch("work", [{"key": f"work {batch}-{n}"} for n in range(20)], lock="one")
        await lab.defer_batch(
            "transfer", [{"key": f"transfer {batch}-{n}", "run_s": 0.02} for n in range(10)]
        )
        await lab.defer("flaky", f"flaky {batch}", failures=2)
        with lab.fault("cut", "connections") as fault:
            fault.hits = proxy.cut(only=None if batch % 2 else workers[0].name)
        assert fault.hits > 0
        before = len(lab.starts())
        await wait_until(lambda before=before: len(lab.starts()) > before)
    history = await settled(lab)
    assert set(statuses(history).values()) == {"succeeded"}
    assert len(effects(history)) == 40
    assert not any(job.crashes for job in history.jobs)  # a lost connection is no death


# -- answers that are lost --------------------------------------------------------------------------


async def test_claim_whose_answer_is_lost_is_given_back_and_its_jobs_run_once(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(proxy=True)
    worker = lab.start_worker(proxied=True)
    await lab.wait_ready()
    with lab.fault("lose", worker.name):
        lab.required_proxy.lose_reply(containing="claimant as materialized")
        await lab.defer_batch("work", [{"key": f"work {n}"} for n in range(20)])
        await lost(lab, 1, wait_until)
    history = await settled(lab)
    assert set(statuses(history).values()) == {"succeeded"}
    assert len(history.runs) == 20
    assert max(job.lease_token or 0 for job in history.jobs) > 1  # claimed, given back, claimed
    assert "claim's answer was lost" in worker.output()


async def test_completions_whose_answers_are_lost_count_once(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(proxy=True)
    worker = lab.start_worker(proxied=True)
    await lab.wait_ready()
    proxy = lab.required_proxy
    with lab.fault("lose", worker.name):
        proxy.lose_reply(containing="ended as (")  # of successes, without a transaction
        await lab.defer_batch("work", [{"key": f"work {n}"} for n in range(20)])
        await lost(lab, 1, wait_until)
        # With failures, retries and locks it is a transaction, and the answer to its end is lost.
        proxy.lose_reply(containing="commit", times=2, only=worker.name)
        await lab.defer_batch("work", [{"key": f"locked {n}"} for n in range(5)], lock="one")
        for n in range(5):
            await lab.defer("flaky", f"flaky {n}", failures=2)
        await lost(lab, 3, wait_until)
    history = await settled(lab)
    assert set(statuses(history).values()) == {"succeeded"}
    assert runs(history, "work 0") == 1
    assert [runs(history, f"flaky {n}") for n in range(5)] == [3] * 5
    assert "Could not record" in worker.output()
    assert "LeaseLost" not in worker.output()


@pytest.mark.parametrize("containing", ["commit", ".effect (", "ended as ("])
async def test_effect_is_there_once_whichever_answer_in_its_transaction_is_lost(
    containing: str, make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(proxy=True)
    worker = lab.start_worker(proxied=True)
    await lab.wait_ready()
    with lab.fault("lose", worker.name):
        lab.required_proxy.lose_reply(containing=containing, only=worker.name, times=2)
        keys = [f"transfer {n}" for n in range(6)]
        await lab.defer_batch("transfer", [{"key": key} for key in keys])
        await lost(lab, 2, wait_until)
    history = await settled(lab)
    assert effects(history) == keys
    assert set(statuses(history).values()) == {"succeeded"}


async def test_defer_whose_answer_is_lost_may_be_there_and_never_twice(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(proxy=True)
    lab.start_worker()
    async with producing_through_proxy(lab) as app:
        await lab.defer("work", "before", app=app)
        with lab.fault("lose", "connections"):
            lab.required_proxy.lose_reply(containing="forthwith.defer", times=2)
            with pytest.raises(DatabaseUnavailable):
                await lab.defer("work", "unknown", app=app)
            with pytest.raises(DatabaseUnavailable):
                await lab.defer_batch("work", [{"key": f"batch {n}"} for n in range(3)], app=app)
        await lab.defer("work", "after", app=app)
    history = await settled(lab)
    assert [call.result for call in history.calls] == ["ok", *["unknown"] * 4, "ok"]
    # The server had finished the statement: so they are there, and each of them once.
    assert sorted(job.key for job in history.jobs) == sorted(call.key for call in history.calls)
    assert {runs(history, key) for key in statuses(history)} == {1}


async def test_registration_whose_answer_is_lost_ends_the_worker_with_an_error(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(proxy=True)
    lab.required_proxy.lose_reply(containing="insert into forthwith.worker")
    with lab.fault("lose", "connections"):
        worker = lab.start_worker(proxied=True)
        assert await worker.wait_exit() != 0
    await lab.defer("work", "later")
    lab.start_worker(proxied=True)
    history = await settled(lab)
    assert statuses(history) == {"later": "succeeded"}


async def test_renewals_whose_answers_are_lost_cost_no_lease(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(proxy=True)
    worker = lab.start_worker(proxied=True)
    await lab.defer("gate", "runs on")
    await wait_until(lambda: len(lab.starts()) == 1)
    with lab.fault("lose", worker.name):
        lab.required_proxy.lose_reply(containing="set last_seen", times=5)
        await lost(lab, 5, wait_until)
    lab.open_gate("runs on")
    history = await settled(lab)
    assert [job.crashes for job in history.jobs] == [0]
    assert len(history.runs) == 1
    assert len([lease for lease in history.leases if lease.name == worker.name]) == 1


async def test_start_whose_answer_is_lost_is_given_back_and_runs_once(
    make_lab: MakeLab, wait_until: WaitUntil
) -> None:
    lab = await make_lab(proxy=True)
    worker = lab.start_worker(proxied=True)
    await lab.wait_ready()
    with lab.fault("lose", worker.name):
        lab.required_proxy.lose_reply(containing="set started_at")
        await lab.defer("once", "only once")
        await lost(lab, 1, wait_until)
    history = await settled(lab)
    assert statuses(history) == {"only once": "succeeded"}
    assert len(history.runs) == 1


# -- packets that vanish ----------------------------------------------------------------------------


def elsewhere(lab: Lab) -> list[Run]:
    """Return the runs of the worker that is not cut off."""
    return [run for run in lab.starts() if run.worker == "direct"]


async def test_black_hole_is_noticed_survived_and_left(
    make_lab: MakeLab, wait_until: WaitUntil, record_figure: RecordFigure
) -> None:
    """Three workers, one of them direct: the long waits are the same for all that is asked here."""
    lab = await make_lab(proxy=True, grace_s=1.0)
    cut_off = lab.start_worker(proxied=True, name="cut-off", queues=["one"])
    leaver = lab.start_worker(proxied=True, name="leaver", queues=["two"])
    await lab.wait_ready()
    for queue in ("one", "two"):
        await lab.defer("gate", f"held {queue}", queue=queue)
        await lab.defer("transfer", f"moved {queue}", queue=queue, run_s=2.0)
    await wait_until(lambda: len(lab.starts()) == 4)
    direct = lab.start_worker(name="direct")
    await lab.wait_ready()

    began_s = time.monotonic()
    with lab.fault("vanish", "cut-off") as fault, lab.fault("vanish", "leaver"):
        lab.required_proxy.vanish(only="cut-off")
        lab.required_proxy.vanish(only="leaver")
        for queue in ("one", "two"):
            lab.open_gate(f"held {queue}", run=2)
        # Their jobs run elsewhere: after the lease, at the next sweep.
        await wait_until(lambda: len(elsewhere(lab)) == 4, deadline_s=60)
        first_s = min(run.started_s for run in elsewhere(lab)) - began_s
        record_figure("a cut-off worker's jobs run elsewhere after", first_s, "s")

        asked_s = time.monotonic()
        leaver.terminate()
        await leaver.wait_exit(60)
        left_s = time.monotonic() - asked_s
        record_figure("SIGTERM in a black hole, with a grace period of 1 s", left_s, "s")
        assert left_s < lab.settings.grace_s + LEFT_WITHIN_S + SLACK_S

        for what in ("Stopped listening", "Could not claim"):
            await wait_until(lambda what=what: what in cut_off.output(), deadline_s=60)
            noticed_s = time.monotonic() - began_s
            record_figure(f"a black hole is noticed ({what.lower()}) after", noticed_s, "s")
            assert noticed_s < NOTICED_WITHIN_S
        fault.hits = lab.required_proxy.counters.bytes_swallowed
        assert fault.hits > 0
        lab.required_proxy.restore()

    restored_s = time.monotonic()
    lab.open_gate("held one", run=1)  # too late: its outcome is refused
    async with await lab.connect() as connection:

        async def listens_again() -> bool:
            since_s = time.monotonic() - restored_s
            cursor = await connection.execute(LISTENING, ["cut-off", since_s])
            return await cursor.fetchone() == (1,)

        await wait_until(listens_again, deadline_s=30)
    direct.terminate()
    await lab.defer_batch("work", [{"key": f"after {n}"} for n in range(3)], queue="one")
    await wait_until(
        lambda: any(run.worker == "cut-off" and run.key.startswith("after") for run in lab.starts())
    )
    record_figure("claims and listens again after", time.monotonic() - restored_s, "s")
    history = await settled(lab)
    assert set(statuses(history).values()) == {"succeeded"}
    assert effects(history) == ["moved one", "moved two"]
    assert "LeaseLost" in cut_off.output()


# -- latency ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delay_s", [0.05, pytest.param(0.5, marks=pytest.mark.soak)])
async def test_latency_makes_it_slower_and_no_less_correct(
    delay_s: float, make_lab: MakeLab, record_figure: RecordFigure
) -> None:
    lab = await make_lab(proxy=True, lease_s=10.0, renew_s=1.0, grace_s=10.0)
    with lab.fault("slow", "connections"):
        lab.required_proxy.delay_s = delay_s
        worker = lab.start_worker(proxied=True, concurrency=4)
        for n in range(5):
            await lab.defer("work", f"locked {n}", lock="one", run_s=0.01)
        await lab.defer_batch("transfer", [{"key": f"transfer {n}"} for n in range(5)])
        await lab.defer("flaky", "flaky", failures=1)
        began_s = time.monotonic()
        assert await lab.drain(120) is not None
        record_figure(f"eleven jobs with {delay_s:g} s each way", time.monotonic() - began_s, "s")
        worker.terminate()
        assert await worker.wait_exit(60) == 0
        lab.required_proxy.delay_s = 0.0
    history = await settled(lab)
    assert set(statuses(history).values()) == {"succeeded"}
    assert not any(job.crashes for job in history.jobs)
    assert len(effects(history)) == 5


# -- the lease's session ----------------------------------------------------------------------------

HOLDER = """
    select pid from pg_locks join pg_stat_activity using (pid)
    where locktype = 'advisory' and objsubid = 2 and granted and application_name = %s
    and datname = current_database()
"""


async def test_lock_of_a_terminated_session_is_taken_again_long_before_the_next_renewal(
    make_lab: MakeLab, wait_until: WaitUntil, record_figure: RecordFigure
) -> None:
    lab = await make_lab(lease_s=60.0, renew_s=20.0)
    worker = lab.start_worker()
    await lab.wait_ready()
    async with await lab.connect() as connection:

        async def holder() -> int:
            cursor = await connection.execute(HOLDER, [worker.name])
            row = await cursor.fetchone()
            return 0 if row is None else int(row[0])

        async def held_by_another(than: int) -> bool:
            return await holder() not in (0, than)

        await wait_until(holder)
        taken_s = []
        for _ in range(5):
            before = await holder()
            began_s = time.monotonic()
            await connection.execute("select pg_terminate_backend(%s, 5000)", [before])
            while not await held_by_another(before):  # noqa: ASYNC110 -- the moment is measured
                await asyncio.sleep(0.001)
            taken_s.append(time.monotonic() - began_s)
            assert taken_s[-1] < lab.settings.renew_s / 2
        record_figure("lock of a terminated session held again after", max(taken_s), "s")
    await settled(lab)


def producing_through_proxy(lab: Lab) -> Any:
    """Open a producer's app that connects through the proxy."""
    app: forthwith.App = tasks.lab_app(
        lab.proxied_url, lab.schema, Diary(lab.home / "diaries" / "producer.jsonl"), lab.home
    )
    return app.open_async()
