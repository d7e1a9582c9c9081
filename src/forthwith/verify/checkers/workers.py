"""I3, I8, I9: leases are kept by the living and taken from the dead, and processes end as they should."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.verify.checkers.timelines import Ending, Endings, away, holds

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
    last_s = history.gathered_s or max((change.s for change in history.changes), default=0.0)
    for hold in holds(history):
        lease = leases.get(hold.worker_id)
        if lease is None:
            yield f"job {hold.job_id} was claimed by worker {hold.worker_id}, which never registered"
            continue
        end_s = last_s if hold.end is None else hold.end.s
        covered_until_s = max((until for at, until in lease.extensions if at <= end_s), default=0.0)
        bare_s = end_s - max(covered_until_s, hold.claim.s)
        away_s = away(history, covered_until_s, end_s, grace_s=RESTART_GRACE_S)
        if bare_s - away_s > history.lease_s + SWEEP_SLACK_S:
            yield (
                f"job {hold.job_id} was doing for {bare_s:.1f} s without a live lease "
                f"(worker {hold.worker_id})"
            )


def exits(history: History) -> Iterator[str]:
    """I8: a worker exits 0 only when asked to; asked to, it is gone in its grace period and 5 s; and it
    does not give up while all is well.
    """
    for worker in history.workers:
        if worker.asked_to_stop_s is None and worker.exit_status == 0:
            yield f"worker {worker.name} exited with 0, and nobody had asked it to stop"
        if worker.asked_to_stop_s is None and _gave_up(worker, history):
            yield f"worker {worker.name} exited with {worker.exit_status}, and nothing had happened"
        yield from _late(worker, history)


def unjustified_rescues(history: History) -> Iterator[str]:
    """I9: only who was killed, frozen, cut off or had ended loses a job to a rescue.

    A blocked event loop, a long drain, a slow or absent database are no reasons; and who left in good
    order has left nothing to rescue.
    """
    endings = Endings(history)
    for hold in holds(history):
        owner, end = endings.owner(hold), hold.end
        if end is None or owner is None or endings.of(hold) is not Ending.RESCUED:
            continue
        if not endings.excuses(owner, end.s):
            yield f"job {hold.job_id} was taken from {owner}, which was well, by {end.actor}"


def _gave_up(worker: WorkerLife, history: History) -> bool:
    """Whether it ended by its own decision (not by a signal) before any fault had begun."""
    if worker.exit_status is None or worker.exit_status <= 0:
        return False
    assert worker.ended_s is not None, "it has an exit status"
    return not any(f.hits and f.began_s <= worker.ended_s for f in history.faults)


def _late(worker: WorkerLife, history: History) -> Iterator[str]:
    asked_s, grace_s = worker.asked_to_stop_s, worker.grace_s
    if asked_s is None or grace_s is None or worker.ended_s is None:
        return
    frozen_s = sum(
        max(0.0, fault.ended_s - max(fault.began_s, asked_s))
        for fault in history.faults
        if fault.target == worker.name and fault.kind == "freeze"
    )
    took_s = worker.ended_s - asked_s - frozen_s
    if took_s > grace_s + LEAVE_S + LEAVE_SLACK_S:
        yield (
            f"worker {worker.name} took {took_s:.1f} s to leave, "
            f"with a grace period of {grace_s:g} s"
        )
