"""The scenario with faults: its schedule, its producer, its crew, and what is made of what they note."""

from __future__ import annotations

import argparse
import array
import asyncio
import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from benchmarks import goals, table
from benchmarks.peers import command
from benchmarks.results import PeerResult, Result, Run
from benchmarks.scenarios.contender import Contender
from benchmarks.scenarios.crew import crew
from benchmarks.scenarios.faults import (
    Outage,
    Outcome,
    complaints,
    fault_values,
    first_starts,
    is_node,
    lost,
    recovery_values,
    schedule,
    second_runs,
)
from benchmarks.scenarios.plan import Plan

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from benchmarks.backends import Backends

S = 10**9
# A worker as the harness knows one: it listens, and works until SIGTERM.
WORKER = """
echo '{"event": "ready"}'
exec sleep 600
"""


def outcome(**known: Any) -> Outcome:
    """Two jobs, both done, unless told otherwise."""
    usual = Outcome([1, 1], [[2, 0], [0, 3]], 1, S + 1, None, 0, 0, 0.0, 2, 0)
    return usual._replace(**known)


def test_kills_alternate_and_the_restart_is_in_the_middle() -> None:
    assert schedule(8, restarts=True) == [(1, 0), (3, 1), (4, None), (5, 0), (7, 1)]


def test_server_that_is_not_ours_stays() -> None:
    assert schedule(4, restarts=False) == [(1, 0), (3, 1)]


def test_nothing_happens_in_peace() -> None:
    assert schedule(0, restarts=True) == []


def test_first_start_is_the_earliest_of_any_worker() -> None:
    assert first_starts([[5, 0, 0], [3, 7]]) == [3, 7, 0]


def test_job_that_began_in_two_workers_ran_twice() -> None:
    assert second_runs([[5, 0, 0], [3, 7, 0], [4, 0, 0]]) == 2


def test_nothing_is_lost_when_all_are_done() -> None:
    assert lost(outcome(), history=True) == lost(outcome(), history=False) == 0


@pytest.mark.parametrize(
    "known",
    [
        {"succeeded": 1},  # the store has forgotten one that began
        {"started": [[2, 0]], "succeeded": 1},  # one was acknowledged, and never began
        # One was not acknowledged, but began, so it was stored.
        {"acknowledged": [1, 0], "succeeded": 1},
    ],
)
def test_job_that_the_store_does_not_know_is_lost(known: dict[str, Any]) -> None:
    assert lost(outcome(**known), history=True) == 1


def test_job_that_is_left_is_not_lost() -> None:
    assert lost(outcome(succeeded=1, unfinished=1), history=True) == 0


def test_defer_that_was_never_answered_and_never_ran_is_not_lost() -> None:
    found = outcome(acknowledged=[1, 0], started=[[2, 0]], succeeded=1)
    assert lost(found, history=True) == 0


def test_store_without_history_is_asked_only_for_what_is_left() -> None:
    assert lost(outcome(succeeded=0), history=False) == 0
    assert lost(outcome(succeeded=0, started=[[2, 0]]), history=False) == 1


def test_success_of_a_job_that_never_began_does_not_hide_one_that_was_lost() -> None:
    assert lost(outcome(started=[[2, 0]], succeeded=2), history=True) == 1


def test_recovery_is_to_the_first_job_and_to_one_that_was_deferred_since() -> None:
    deferred, starts = [1 * S, 5 * S, 6 * S, 7 * S], [5 * S, 8 * S, 7 * S, 0]
    found = recovery_values(Outage(2 * S, 5 * S), deferred, starts)
    assert found == {"outage_s": 3.0, "recovery_s": 0.0, "fresh_s": 2.0}
    assert recovery_values(Outage(2 * S, 8 * S), deferred, starts) == {
        "outage_s": 6.0,
        "recovery_s": 0.0,
    }
    assert recovery_values(Outage(2 * S, 9 * S), deferred, starts) == {"outage_s": 7.0}


def test_faults_are_held_against_peace() -> None:
    hit = outcome(started=[[2, 0]], succeeded=1, unfinished=1, kills=3)
    found = fault_values(hit, outcome(), history=True)
    assert (found["jobs_per_s"], found["share_of_peace"]) == (1.0, 0.5)
    assert (found["lost"], found["unfinished"], found["kills"]) == (0.0, 1.0, 3.0)


def contender(*code: str) -> Contender:
    """A peer whose every command is this shell script."""
    return Contender("peer", [*code], {}, cast("Backends", None))


def test_what_a_peer_loses_is_its_figure_and_what_we_lose_an_error() -> None:
    hit, peer = outcome(succeeded=0, unfinished=1), contender("true")
    ours = dataclasses.replace(peer, peer="forthwith")
    assert complaints(hit, outcome(), peer) == []
    assert complaints(hit, outcome(), ours) == [
        "1 jobs lost under faults",
        "1 jobs left under faults",
    ]
    assert complaints(outcome(), hit, peer) == ["1 jobs lost in peace", "1 jobs left in peace"]


def test_node_is_known_by_its_interpreter() -> None:
    assert is_node(contender("/somewhere/bin/node", "peer.mjs"))
    assert not is_node(contender("/somewhere/bin/python", "peer.py"))


async def test_killed_worker_is_replaced(tmp_path: Path) -> None:
    peer = contender("sh", "-c", WORKER)
    async with asyncio.timeout(30), crew(peer, Plan("quick", 1, 1), "db", 1, tmp_path) as workers:
        assert len(workers.times) == 2
        await workers.kill(0)
        await workers.wait()
        assert (len(workers.times), workers.kills, workers.ended_by_themselves) == (3, 1, 0)


async def test_worker_that_ends_by_itself_is_replaced_and_counted(tmp_path: Path) -> None:
    marker = tmp_path / "failed"
    code = f"mkdir {marker} 2>/dev/null && exit 1\n{WORKER}"  # for the first of the two alone
    async with (
        asyncio.timeout(30),
        crew(contender("sh", "-c", code), Plan("quick", 1, 1), "db", 1, tmp_path) as workers,
    ):
        assert (workers.kills, workers.ended_by_themselves) == (0, 1)


class FailingPeer:
    """A peer whose second batch fails, and whose store cannot be opened right after that."""

    def __init__(self) -> None:
        self.deferred: list[int] = []
        self.opened = 0

    @contextlib.asynccontextmanager
    async def deferrer(self, database: str) -> AsyncIterator[FailingPeer]:
        """Fail the second time."""
        self.opened += 1
        if self.opened == 2:
            raise ConnectionError(database)
        yield self

    async def batch(self, kind: str, numbers: Sequence[int]) -> None:
        """Fail for the numbers 2 and 3."""
        if 2 in numbers:
            raise ConnectionError(kind)
        self.deferred += numbers


def produced(peer: FailingPeer, times: Path, *, patient: bool) -> None:
    """Produce six jobs in batches of two."""
    arguments = argparse.Namespace(
        database="db", kind="noop", jobs=6, batch_size=2, seconds=60.0, rate=0.0
    )
    arguments.times, arguments.patient = times, patient
    asyncio.run(command.COMMANDS["produce"](cast("command.Peer", peer), arguments))


def test_patient_producer_goes_on_and_keeps_what_was_answered(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    peer, times = FailingPeer(), tmp_path / "times"
    produced(peer, times, patient=True)
    assert (peer.deferred, peer.opened) == ([0, 1, 4, 5], 3)
    noted = array.array("q", times.read_bytes())
    assert [bool(at_ns) for at_ns in noted] == [True, True, False, False, True, True]
    assert json.loads(capsys.readouterr().out)["jobs"] == 6


def test_usual_producer_fails_with_its_defer(tmp_path: Path) -> None:
    with pytest.raises(ConnectionError):
        produced(FailingPeer(), tmp_path / "times", patient=False)


def result(**values: float) -> Result:
    """A result with one run of forthwith under faults."""
    usual = {"share_of_peace": 0.95, "recovery_s": 1.5, "lost": 0.0, "unfinished": 0.0}
    run = Run("faults", "", "forthwith", 1, 10, {**usual, **values})
    return Result({}, [PeerResult("forthwith", "forthwith")], [run])


def test_goal_under_faults_is_to_lose_nothing() -> None:
    (told,) = goals.told(result())
    assert told == (
        "faults: 95% of the pace in peace, jobs again 1.5 s after the restart, 0 jobs lost, 0 left; "
        "goal: none lost or left"
    )
    assert next(goals.told(result(unfinished=2.0))).endswith("**not reached**")


def test_jobs_left_by_killed_workers_are_noted() -> None:
    assert table.notes(result()) == []
    assert table.notes(result(unfinished=2.0, lost=1.0)) == [
        "faults, forthwith, round 1: 1 jobs lost when workers were killed",
        "faults, forthwith, round 1: 2 jobs of killed workers not finished a minute after the end",
    ]
