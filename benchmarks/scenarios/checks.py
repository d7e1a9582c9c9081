"""Whether every job ran once: what the peer's own store says after a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.scenarios.commands import counted

if TYPE_CHECKING:
    from benchmarks.scenarios.contender import Contender


async def problems(
    contender: Contender,
    database: str,
    worked: dict[str, Any],
    jobs: int,
    *,
    all_done: bool,
    slots: int = 0,
    stopped: bool = False,
) -> list[str]:
    """What is wrong after a run. The peer's own store is asked, not the worker.

    `slots` says how many jobs the worker was told of, where that is not `jobs`. A worker that was
    `stopped` amid its work may leave jobs that ran but are not recorded: those would run again.
    """
    succeeded, unfinished = await counted(contender, database)
    once = worked["ran_once"]
    if not contender.history:
        succeeded = once
    if stopped and succeeded < once:
        once = succeeded
    doubled = (slots or jobs) - worked["ran_once"] - worked["ran_never"]
    return complaints(doubled, once, jobs, succeeded, unfinished, all_done=all_done)


def complaints(
    doubled: int, once: int, jobs: int, succeeded: int, unfinished: int, *, all_done: bool
) -> list[str]:
    """What does not add up, in words."""
    checks = {
        f"{doubled} job(s) ran more than once": doubled != 0,
        f"{succeeded} jobs in the history, but {once} ran once": succeeded != once,
        f"{jobs - succeeded - unfinished} of {jobs} jobs lost": succeeded + unfinished != jobs,
        f"{unfinished} jobs left over": all_done and unfinished != 0,
    }
    return [problem for problem, wrong in checks.items() if wrong]
