"""Says what is wrong, in words. Every rule is a pure function of the facts."""

from __future__ import annotations

import shlex
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING

from forthwith.operations.finding import Finding
from forthwith.operations.queues import listens
from forthwith.operations.server_health import SERVER_RULES
from forthwith.operations.waits import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from forthwith.operations.facts import Facts
    from forthwith.operations.worker_state import WorkerState

OVERDUE_S = 300.0
NAMES_MAX = 10
ALIKE_MAX = 10

_ORDER = {"error": 0, "warning": 1, "note": 2}


def findings(facts: Facts) -> list[Finding]:
    """Return what is wrong, the worst first. Empty: all is well."""
    found = chain.from_iterable(rule(facts) for rule in RULES)
    return sorted(_without_most_alike(found), key=lambda finding: _ORDER[finding.severity])


def _without_most_alike(found: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the first of each kind: a thousand queues without a worker must not hide what else is wrong."""
    seen: Counter[str] = Counter()
    left_out: dict[str, Finding] = {}
    for finding in found:
        seen[finding.code] += 1
        if seen[finding.code] <= ALIKE_MAX:
            yield finding
        else:
            left_out[finding.code] = finding
    for code, finding in left_out.items():
        yield Finding(
            finding.severity,
            code,
            f"{seen[code] - ALIKE_MAX:,} more of the kind {code}",
            f"{ALIKE_MAX} are told above; the last of the others: {finding.title}.",
            "See to those above first: often all have one cause. `forthwith queues` and `forthwith workers`"
            " list all.",
        )


def _no_worker(facts: Facts) -> Iterator[Finding]:
    waiting = sum(queue.ready + queue.blocked for queue in facts.queues)
    if waiting and not _live(facts):
        yield Finding(
            "error",
            "no-worker",
            "No worker is running",
            f"{_jobs(waiting, facts)} {_are(waiting)} due, and no live worker is registered.",
            "Start one: `forthwith worker`. If one should be running, look at its log and its host.",
        )


def _no_listener(facts: Facts) -> Iterator[Finding]:
    if not _live(facts):
        return
    for queue in sorted(facts.queues, key=lambda queue: -(queue.ready + queue.blocked)):
        if queue.ready + queue.blocked and not queue.listeners:
            yield Finding(
                "error",
                "no-listener",
                f"No worker listens to queue {queue.name!r}",
                f"{_jobs(queue.ready + queue.blocked, facts)} of it {_are(queue.ready + queue.blocked)} due,"
                " and every live worker listens to other queues alone.",
                f"Start a worker for it: `forthwith worker --queues {shlex.quote(queue.name)}`.",
            )


def _unknown_tasks(facts: Facts) -> Iterator[Finding]:
    live = _live(facts)
    if not live or any(worker.tasks_known is None for worker in live):
        return  # nobody could run it, or nobody can say
    unknown = [task for task in facts.tasks if task.waiting and not task.known_by]
    if unknown:
        waiting = sum(task.waiting for task in unknown)
        yield Finding(
            "error",
            "unknown-task",
            "No worker knows " + _named("task", [task.name for task in unknown]),
            f"{_jobs(waiting, facts)} {_wait(waiting)} for a worker that knows {_it(unknown)}.",
            "Deploy workers that import the task's module, see import_paths, or cancel the jobs if the"
            " task is gone for good.",
        )


def _silent_workers(facts: Facts) -> Iterator[Finding]:
    for worker in facts.workers:
        if worker.is_silent:
            yield Finding(
                "warning",
                "silent-worker",
                f"Worker {worker.id} is silent",
                f"{worker.name} (pid {worker.pid} on {worker.host}) was last seen at"
                f" {told(worker.last_seen)}. Its jobs run again as soon as another worker rescues them.",
                "Look whether the process and its host are alive, and reach the database.",
            )


def _paused_queues(facts: Facts) -> Iterator[Finding]:
    for queue in facts.queues:
        if queue.paused_at is not None and queue.waiting:
            yield Finding(
                "warning",
                "paused-queue",
                f"Queue {queue.name!r} is paused",
                f"Since {told(queue.paused_at)}, and {_jobs(queue.waiting, facts)} {_wait(queue.waiting)}"
                " in it.",
                f"Let it go on when you are done: `forthwith resume {shlex.quote(queue.name)}`.",
            )


def _overdue(facts: Facts) -> Iterator[Finding]:
    told_of = {queue.name for queue in facts.queues if queue.paused_at is not None}
    for count in sorted(facts.counts, key=lambda count: count.oldest_waiting_at or facts.now):
        since = count.oldest_waiting_at
        if since is None or (facts.now - since).total_seconds() <= OVERDUE_S:
            return
        if count.queue in told_of or not _has_idle_taker(facts, count.queue, count.task):
            continue
        told_of.add(count.queue)
        yield Finding(
            "warning",
            "overdue",
            f"Jobs of queue {count.queue!r} wait although workers are idle",
            f"The first of them, of task {count.task!r}, could have run since {told(since)}.",
            f"See what those wait for that `forthwith jobs --state ready --queue {shlex.quote(count.queue)}"
            f" --task {shlex.quote(count.task)}` lists. If nothing is in their way, restart the workers of"
            " the queue.",
        )


def _poison(facts: Facts) -> Iterator[Finding]:
    if facts.poison_count:
        many = f"{facts.poison_count:,}" if facts.poison_count <= 1000 else "More than 1,000"
        yield Finding(
            "warning",
            "poison",
            "Jobs took their workers down with them",
            f"{many} in the last hour crashed so often that they were failed; the last is job"
            f" {facts.poison_last_id}.",
            "Look for what kills the process: memory, a native library, os._exit. Then retry them.",
        )


RULES: Sequence[Callable[[Facts], Iterator[Finding]]] = (
    *SERVER_RULES,
    _no_worker,
    _no_listener,
    _unknown_tasks,
    _silent_workers,
    _paused_queues,
    _overdue,
    _poison,
)


def _live(facts: Facts) -> list[WorkerState]:
    return [worker for worker in facts.workers if not worker.is_silent]


def _has_idle_taker(facts: Facts, queue: str, task: str) -> bool:
    """Whether a live worker has room for a job of this queue and, as far as it has told, knows its task."""
    return any(
        (worker.running or 0) < worker.concurrency
        and listens(worker, queue)
        and (worker.tasks_known is None or task in worker.tasks_known)
        for worker in facts.workers
    )


def _jobs(count: int, facts: Facts) -> str:
    least = "" if all(queue.is_exact for queue in facts.queues) else "at least "
    return f"{least}{count:,} job{'' if count == 1 else 's'}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _wait(count: int) -> str:
    return "waits" if count == 1 else "wait"


def _it(items: Sequence[object]) -> str:
    return "it" if len(items) == 1 else "them"


def _named(noun: str, names: Sequence[str]) -> str:
    told_names = ", ".join(map(repr, names[:NAMES_MAX]))
    others = f" and {len(names) - NAMES_MAX} more" if len(names) > NAMES_MAX else ""
    return f"{noun}{'' if len(names) == 1 else 's'} {told_names}{others}"
