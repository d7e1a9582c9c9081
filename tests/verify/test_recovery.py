"""How quickly work went on is read from the history."""

from __future__ import annotations

from dataclasses import replace

from forthwith.verify.history import Change, Fault, History, Lease, WorkerLife
from forthwith.verify.recovery import recoveries

CLAIMED = Change(1, 10.0, 1, "victim", False, 7, "todo", "doing", 0, 1, None, 5)
RESCUED = Change(2, 13.5, 2, "other", False, 7, "doing", "todo", 1, 2, 5, None, 1, 1)
AGAIN = Change(3, 14.0, 3, "other", False, 7, "todo", "doing", 2, 3, None, 6, 1, 1)


def history(*faults: Fault) -> History:
    return History(
        changes=[CLAIMED, RESCUED, AGAIN],
        leases=[Lease(5, "victim", ((9.0, 13.0),)), Lease(6, "other", ((9.0, 19.0),))],
        workers=[WorkerLife("victim", 1, 0.0), WorkerLife("other", 2, 0.0)],
        faults=list(faults),
    )


def test_kill_counts_until_its_jobs_are_claimed_again() -> None:
    [recovery] = recoveries(history(Fault("kill", "victim", 12.0, 12.0)))
    assert (recovery.kind, recovery.times_s) == ("kill", (2.0,))


def test_kill_around_an_outage_is_another_measurement() -> None:
    outage = Fault("outage", "database", 8.0, 9.0)
    kinds = [r.kind for r in recoveries(history(Fault("kill", "victim", 12.0, 12.0), outage))]
    assert kinds == ["kill, server away", "outage"]


def test_faults_that_took_nothing_away_are_left_out() -> None:
    assert recoveries(history(Fault("kill", "other", 12.0, 12.0))) == []
    assert recoveries(history(Fault("kill", "victim", 15.0, 15.0))) == []
    missed = replace(Fault("kill", "victim", 12.0, 12.0), hits=0)
    assert recoveries(history(missed)) == []


def test_outage_counts_until_each_worker_that_was_there_claims_again() -> None:
    [recovery] = recoveries(history(Fault("restart", "database", 12.5, 13.0)))
    assert (recovery.kind, recovery.times_s) == ("restart", (1.0,))
