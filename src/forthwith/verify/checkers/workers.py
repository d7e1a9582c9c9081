"""I3, I8, I9: leases are kept by the living and taken from the dead, and processes end as they should."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from forthwith.verify.checkers.timelines import harmed_s, holds, names_of_workers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.verify.history import History, WorkerLife

SWEEP_SLACK_S = 5.0
# Nobody is taken for dead so soon after the server has come back.
RESTART_GRACE_S = 5.0
LEAVE_S = 5.0
LEAVE_SLACK_S = 1.0


def overdue(history: History) -> Iterator[str]:
    """I3: no job stays with a worker for more than a lease after that worker's lease has ended.

    While the database is away nobody can change anything, and right after it has come back nobody
    is taken for dead: that time does not count.
    """
    leases = {lease.worker_id: lease for lease in history.leases}
    last_s = max((change.s for change in history.changes), default=0.0)
    for hold in holds(history):
        lease = leases.get(hold.worker_id)
        if lease is None:
            yield f"job {hold.job_id} was claimed by worker {hold.worker_id}, which never registered"
            continue
        end_s = last_s if hold.end is None else hold.end.s
        covered_until_s = max((until for at, until in lease.extensions if at <= end_s), default=0.0)
        bare_s = end_s - max(covered_until_s, hold.claim.s)
        away_s = _away_s(history, covered_until_s, end_s)
        if bare_s - away_s > history.lease_s + SWEEP_SLACK_S:
            yield (
                f"job {hold.job_id} was doing for {bare_s:.1f} s without a live lease "
                f"(worker {hold.worker_id})"
            )


def exits(history: History) -> Iterator[str]:
    """I8: a worker exits 0 only when asked to; asked to, it is gone in its grace period and 5 s."""
    for worker in history.workers:
        if worker.exit_status == 0 and worker.asked_to_stop_s is None:
            yield f"worker {worker.name} exited with 0, and nobody had asked it to stop"
        yield from _late(worker, _stopped_s(history, worker.name))


def unjustified_rescues(history: History) -> Iterator[str]:
    """I9: only who was killed, frozen, cut off or had ended loses a job to a rescue.

    A blocked event loop, a long drain, a slow or absent database are no reasons.
    """
    names = names_of_workers(history)
    harmed = harmed_s(history)
    actors = {worker.name for worker in history.workers}
    for hold in holds(history):
        owner, end = names.get(hold.worker_id), hold.end
        if end is None or owner is None or end.actor not in actors:
            continue
        taken = end.actor != owner or (end.after == "todo" and end.crashes > hold.claim.crashes)
        if taken and harmed.get(owner, inf) > end.s:
            yield f"job {hold.job_id} was taken from {owner}, which was well, by {end.actor}"


def _away_s(history: History, from_s: float, to_s: float) -> float:
    """How long the database was away between the two, the grace after each start included."""
    away_s, counted_until_s = 0.0, from_s
    for fault in sorted(history.faults, key=lambda fault: fault.began_s):
        if fault.target == "database":
            began_s = max(fault.began_s, counted_until_s)
            ended_s = min(fault.ended_s + RESTART_GRACE_S, to_s)
            away_s += max(0.0, ended_s - began_s)
            counted_until_s = max(counted_until_s, ended_s)
    return away_s


def _late(worker: WorkerLife, stopped_s: float) -> Iterator[str]:
    if worker.asked_to_stop_s is None or worker.grace_s is None or worker.ended_s is None:
        return
    took_s = worker.ended_s - worker.asked_to_stop_s - stopped_s
    if took_s > worker.grace_s + LEAVE_S + LEAVE_SLACK_S:
        yield (
            f"worker {worker.name} took {took_s:.1f} s to leave, "
            f"with a grace period of {worker.grace_s:g} s"
        )


def _stopped_s(history: History, name: str) -> float:
    return sum(
        f.ended_s - f.began_s for f in history.faults if f.target == name and f.kind == "freeze"
    )
