"""The checkers can fail: each mechanism of forthwith is broken, and some invariant says so.

A scenario is played by the whole system and by those in which one mechanism is broken, each in a
database of its own, all at once. The whole one passes; of each other one it is said by which invariant
it is caught.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.verify.lab import LabSettings, open_lab
from tests.support.forking import fork_worker
from tests.verify import mutant_database, mutant_worker, scenarios
from tests.verify.scenarios import LEASE_S, RENEW_S, Stage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from forthwith.verify.checkers import Verdict
    from tests.support.databases import Databases

    WaitUntil = Callable[..., Awaitable[Any]]
    RecordFigure = Callable[[str, float, str], None]

SETTLE_S = 20.0
BROKEN_SETTLE_S = 3.0
AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Case:
    """A scenario, and what each mutation makes of it."""

    play: Callable[[Stage], Awaitable[None]]
    caught: dict[str, set[str]]
    """By mutation: the invariants of which its history violates at least one."""
    conditions: tuple[str, ...] = ()
    is_soak: bool = False
    """Takes long, and what it breaks is much like what another scenario breaks."""


CASES = (
    Case(
        scenarios.quiet,
        {
            "token_not_raised_at_claim": {"I5"},
            "token_not_raised_at_retry": {"I5"},
            "rescue_of_the_living": {"I9"},
        },
    ),
    Case(
        scenarios.kill,
        {
            "token_not_raised_at_rescue": {"I5"},
            "no_rescue": {"I2"},
            "effect_committed_apart_from_completion": {"I4"},
        },
    ),
    Case(scenarios.kill_after_a_completion, {"history_written_in_another_transaction": {"I1"}}),
    Case(scenarios.thaw, {"complete_without_fence": {"I5"}}),
    Case(scenarios.thaw_and_fail, {"retry_without_fence": {"I5"}}, is_soak=True),
    Case(
        scenarios.thaw_and_commit,
        {"lost_lease_does_not_roll_back_the_effect": {"I4"}},
        is_soak=True,
    ),
    Case(scenarios.thaw_and_leave, {"release_without_fence": {"I5"}}, is_soak=True),
    Case(scenarios.blocked_loop, {"lease_renewed_by_the_event_loop": {"I9"}}),
    Case(scenarios.drain, {"lease_given_up_when_told_to_stop": {"I6"}}),
    Case(
        scenarios.stop,
        {
            "token_not_raised_at_release": {"I5"},
            "stop_spends_attempts": {"I4"},
            "stop_forgets_what_has_not_started": {"I9"},
        },
    ),
    Case(
        scenarios.lock,
        {
            "locks_ignored": {"I6"},
            "lines_never_advanced": {"I2"},
            "order_of_a_line_ignored": {"I7"},
        },
    ),
    Case(
        scenarios.outcome_sent_again,
        {"retry_without_fence": {"I4", "I5"}},
        conditions=("answer_to_first_completion_is_lost",),
    ),
    Case(
        scenarios.outcome_not_sent,
        {"outcomes_not_sent_again": {"I2"}},
        conditions=("first_completion_is_not_sent",),
    ),
    Case(
        scenarios.claim_unanswered,
        {"orphans_not_given_back": {"I2"}},
        conditions=("answer_to_first_claim_is_lost",),
    ),
    Case(
        scenarios.full_buffer,
        {"outcomes_dropped_when_the_buffer_is_full": {"I2"}},
        conditions=("tiny_backlog",),
        is_soak=True,
    ),
    Case(scenarios.deaf, {"notifications_the_only_wake_up": {"I2"}}),
    Case(scenarios.asleep, {"nobody_is_woken": {"I2"}}),
    Case(scenarios.connections_end, {"leaves_when_the_database_does": {"I8"}}, is_soak=True),
    Case(scenarios.poison, {"crash_not_counted": {"I2"}, "suspects_claimed_together": {"I6"}}),
    Case(scenarios.one_at_a_time, {"queueing_lock_not_taken": {"I10"}}),
)


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=[pytest.mark.soak] if case.is_soak else []) for case in CASES],
    ids=[case.play.__name__ for case in CASES],
)
async def test_what_is_whole_passes_and_what_is_broken_is_caught(
    case: Case,
    databases: Databases,
    tmp_path: Path,
    wait_until: WaitUntil,
    record_figure: RecordFigure,
) -> None:
    turn = asyncio.Semaphore(AT_ONCE)

    async def play(mutation: str | None) -> Verdict:
        async with turn, _stage(case, mutation, databases, tmp_path, wait_until) as stage:
            began_s = time.monotonic()
            await case.play(stage)
            verdict = await stage.lab.settle(
                within_s=SETTLE_S if mutation is None else BROKEN_SETTLE_S
            )
            record_figure(f"{mutation or 'whole'}", time.monotonic() - began_s, "s")
            if mutation is None and not verdict.ok:
                for worker in stage.lab.workers:
                    print(f"--- {worker.name}\n{worker.output()}")
            return verdict

    whole, *broken = await asyncio.gather(*(play(mutation) for mutation in (None, *case.caught)))
    assert whole.ok, whole.text()
    assert whole.history.jobs
    for (mutation, expected), verdict in zip(case.caught.items(), broken, strict=True):
        print(f"\n    {mutation}: {', '.join(sorted(verdict.violated))}", end="")
        assert expected & verdict.violated, f"{mutation}: {verdict.text()}"


def test_every_mutation_is_in_a_scenario() -> None:
    there = {*mutant_worker.MUTATIONS, *mutant_database.MUTATIONS}
    assert there == {mutation for case in CASES for mutation in case.caught}


@asynccontextmanager
async def _stage(
    case: Case, mutation: str | None, databases: Databases, home: Path, wait_until: WaitUntil
) -> AsyncIterator[Stage]:
    name, url = await asyncio.to_thread(databases.create_clone)
    settings = LabSettings(
        lease_s=LEASE_S,
        renew_s=RENEW_S,
        worker_program="tests.verify.mutant_worker",
        launch=fork_worker,
    )
    try:
        async with open_lab(url, home / (mutation or "whole"), settings=settings) as lab:
            if mutation in mutant_database.MUTATIONS:
                async with await lab.connect() as connection:
                    await mutant_database.mutate(connection, mutation)
            yield Stage(lab, wait_until, mutation, case.conditions)
    finally:
        await asyncio.to_thread(databases.drop, name)
