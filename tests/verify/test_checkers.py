"""Each checker on histories told by hand: what violates its invariant, and what nearly does."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from forthwith.verify.checkers import INVARIANTS, check
from forthwith.verify.history import History
from tests.verify.story import LEASE_S, Job, Story

if TYPE_CHECKING:
    from collections.abc import Callable

    Telling = Callable[[Story], None]


@dataclass(frozen=True, slots=True)
class Case:
    """A history, and the invariants that it violates: one, or none."""

    name: str
    tell: Telling
    violated: str | None


CASES: list[Case] = []


def violates(invariant: str) -> Callable[[Telling], Telling]:
    return _case(invariant)


def holds(tell: Telling) -> Telling:
    return _case(None)(tell)


def _case(invariant: str | None) -> Callable[[Telling], Telling]:
    def register(tell: Telling) -> Telling:
        CASES.append(Case(tell.__name__, tell, invariant))
        return tell

    return register


# -- I1: nothing is lost ----------------------------------------------------------------------------


@violates("I1")
def accepted_and_nowhere(story: Story) -> None:
    story.success(story.defer())
    story.call("lost", "ok", job_id=77)


@holds
def answer_lost_and_no_job(story: Story) -> None:
    story.success(story.defer())
    story.call("perhaps", "unknown")


@holds
def answer_lost_and_a_job(story: Story) -> None:
    story.success(story.defer(result="unknown"))


@violates("I1")
def answer_lost_and_two_jobs(story: Story) -> None:
    story.success(story.defer("twice", result="unknown"))
    story.success(story.defer("twice"))
    story.told.calls.pop()


@violates("I1")
def refused_and_a_job(story: Story) -> None:
    story.success(story.defer(result="fail"))


@holds
def refused_once_and_accepted_once(story: Story) -> None:
    story.success(story.defer("again"))
    story.call("again", "fail")


@violates("I1")
def left_the_live_table_for_nowhere(story: Story) -> None:
    job = story.defer(result="unknown")
    story.claim(job)
    story.run(job)
    story.vanish(job)


@violates("I1")
def archived_in_another_transaction(story: Story) -> None:
    job = story.defer()
    story.success(job)
    [entry] = [change for change in story.told.changes if change.is_archive]
    story.told.changes[-1] = replace(entry, xid=entry.xid + 1)


@holds
def no_history_is_kept_of_successful_jobs(story: Story) -> None:
    story.worker("w1", deletes="successful")
    job = story.defer()
    story.claim(job)
    story.run(job)
    story.vanish(job)


@violates("I1")
def no_history_is_kept_of_a_failed_job(story: Story) -> None:
    story.worker("w1", deletes="successful")
    job = story.defer()
    story.claim(job)
    story.run(job, effect=False, error="ValueError")
    story.vanish(job)


# -- I2: everything ends ----------------------------------------------------------------------------


@violates("I2")
def never_claimed(story: Story) -> None:
    story.defer()


@violates("I2")
def still_doing(story: Story) -> None:
    story.claim(story.defer())


@holds
def cancelled_before_its_turn(story: Story) -> None:
    story.cancel(story.defer())


# -- I3: nothing is doing without a lease -------------------------------------------------------------


@violates("I3")
def held_long_after_the_lease(story: Story) -> None:
    worker_id = story.start("w3", lease_until_s=story.now_s + 1)
    job = story.defer()
    story.claim(job, worker_id)
    story.run(job, "w3")
    story.wait(LEASE_S + 7)
    story.complete(job, "w3")


@holds
def held_a_little_after_the_lease(story: Story) -> None:
    worker_id = story.start("w3", lease_until_s=story.now_s + 1)
    job = story.defer()
    story.claim(job, worker_id)
    story.run(job, "w3")
    story.wait(LEASE_S)
    story.complete(job, "w3")


@holds
def held_after_the_lease_while_the_database_was_away(story: Story) -> None:
    worker_id = story.start("w3", lease_until_s=story.now_s + 1)
    job = story.defer()
    story.claim(job, worker_id)
    story.run(job, "w3")
    story.fault("outage", "database", for_s=20)
    story.wait(LEASE_S)
    story.complete(job, "w3")


@violates("I3")
def claimed_by_a_stranger(story: Story) -> None:
    job = story.defer()
    story.names[9] = "w1"
    story.claim(job, 9)
    story.run(job)
    story.complete(job)


# -- I4: effects and attempts -------------------------------------------------------------------------


@violates("I4")
def success_without_an_effect(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.run(job, effect=False)
    story.complete(job)


@holds
def failure_without_an_effect(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.run(job, effect=False, error="ValueError")
    story.complete(job, status="failed")


@violates("I4")
def effect_of_an_earlier_claim_alone(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.run(job, error="ValueError")
    story.retry(job)
    story.claim(job)
    story.run(job, effect=False)
    story.complete(job)


def _transfer(story: Story, effects: int, status: str = "succeeded") -> None:
    job = story.defer(task="transfer")
    story.claim(job)
    run = story.begin(job)
    for _ in range(effects):
        story.effect(job)
    if status == "succeeded":
        story.complete(job)
        story.end(run)
    else:
        story.end(run, effect=False, error="ValueError")
        story.complete(job, status=status)


@violates("I4")
def transactional_effect_twice(story: Story) -> None:
    _transfer(story, 2)


@violates("I4")
def transactional_effect_missing(story: Story) -> None:
    _transfer(story, 0)


@violates("I4")
def transactional_effect_of_a_failure(story: Story) -> None:
    _transfer(story, 1, "failed")


@holds
def transactional_effect_once(story: Story) -> None:
    _transfer(story, 1)
    _transfer(story, 0, "failed")


@holds
def transactional_effect_of_a_worker_killed_right_after_its_commit(story: Story) -> None:
    job = story.defer(task="transfer")
    story.claim(job)
    story.begin(job)
    story.effect(job)
    story.complete(job)
    story.kill("w1")


@violates("I4")
def two_runs_of_one_claim(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.run(job)
    story.run(job)
    story.complete(job)


@violates("I4")
def run_without_a_claim(story: Story) -> None:
    job = story.defer()
    story.end(story.begin(job, token=7))
    story.success(job)


@violates("I4")
def more_attempts_than_runs(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.run(job)
    story.complete(job, spent=2)


@violates("I4")
def attempt_of_a_job_that_was_aborted_before_it_ran(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.ask_to_abort(job)
    story.complete(job, status="aborted", spent=1)


@holds
def aborted_before_it_ran(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.ask_to_abort(job)
    story.complete(job, status="aborted", spent=0)


@holds
def aborted_on_request(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    run = story.begin(job)
    story.ask_to_abort(job)
    story.end(run, effect=False, error="CancelledError")
    story.complete(job, status="aborted")


@violates("I4")
def aborted_by_the_end_of_its_worker(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    run = story.begin(job)
    story.ask_to_stop("w1")
    story.end(run, effect=False, error="CancelledError")
    story.complete(job, status="aborted")


@violates("I4")
def retried_at_the_cost_of_an_attempt_when_its_worker_stopped(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    run = story.begin(job)
    story.ask_to_stop("w1")
    story.end(run, effect=False, error="CancelledError")
    story.retry(job)
    story.success(job, 2)


@holds
def cut_off_while_it_waited_for_the_answer_to_its_commit(story: Story) -> None:
    """Found by `forthwith verify`, seed 3: the packets had vanished, and the worker was told to stop."""
    job = story.defer(task="transfer")
    story.claim(job)
    run = story.begin(job)
    story.effect(job)
    story.complete(job)
    story.ask_to_stop("w1")
    story.end(run, effect=False, error="CancelledError")


@holds
def aborted_by_the_end_of_its_worker_since_it_must_not_run_twice(story: Story) -> None:
    job = story.defer(task="once")
    story.claim(job)
    run = story.begin(job)
    story.ask_to_stop("w1")
    story.end(run, effect=False, error="CancelledError")
    story.complete(job, status="aborted")


@holds
def given_back_when_its_worker_stopped(story: Story) -> None:
    job, unstarted = story.defer(), story.defer()
    story.claim(unstarted)
    story.claim(job)
    run = story.begin(job)
    story.ask_to_stop("w1", grace_s=0.5)
    story.release(unstarted)
    story.wait(0.5)
    story.end(run, effect=False, error="CancelledError")
    story.release(job)
    story.success(unstarted, 2)
    story.success(job, 2)


@holds
def given_back_in_a_hurry(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    run = story.begin(job)
    story.ask_to_stop("w1")
    story.hurry("w1")
    story.end(run, effect=False, error="CancelledError")
    story.release(job)
    story.success(job, 2)


@violates("I4")
def run_that_was_cut_off_in_its_grace_period(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    run = story.begin(job)
    story.ask_to_stop("w1")
    story.end(run, effect=False, error="CancelledError")
    story.release(job)
    story.success(job, 2)


@violates("I4")
def run_that_was_not_counted(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.run(job, effect=False, error="ValueError")
    story.release(job)
    story.success(job)


@violates("I4")
def crash_that_was_not_recorded(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.kill("w1")
    story.rescue(job)
    job.crashed_attempts = 0
    job.attempts -= 1
    story.success(job, 2)


@violates("I4")
def crash_that_costs_two_attempts(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.kill("w1")
    story.rescue(job, spent=2)
    job.crashed_attempts = 2
    job.crashes = 2
    story.success(job, 2)


@violates("I4")
def attempt_while_nobody_had_it(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.run(job, effect=False, error="ValueError")
    story.retry(job)
    story.retry(job)  # the same outcome, sent again
    job.attempts -= 1
    story.success(job)


# -- I5: one completion, of the newest claim ----------------------------------------------------------


@violates("I5")
def completed_twice(story: Story) -> None:
    job = story.defer()
    story.success(job)
    story.complete(job, spent=0)


@violates("I5")
def there_twice(story: Story) -> None:
    job = story.defer()
    story.success(job)
    story.jobs.append(job)
    story.told.calls *= 2


@violates("I5")
def completed_with_a_stale_token(story: Story) -> None:
    job = story.defer()
    story.success(job)
    story.told.changes[-1] = replace(story.told.changes[-1], token_after=0)


@violates("I5")
def claim_that_does_not_raise_the_token(story: Story) -> None:
    job = story.defer()
    story.claim(job, raises=0)
    story.run(job)
    story.complete(job)


@violates("I5")
def giving_back_that_does_not_raise_the_token(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.release(job, raises=0)
    story.success(job, 2)


@violates("I5")
def token_out_of_thin_air(story: Story) -> None:
    job = story.defer()
    job.token = 4
    story.success(job)


@violates("I5")
def claimed_while_claimed(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.claim(job, 2)
    story.run(job, "w2")
    story.complete(job, "w2")


def _frozen_with_a_job(story: Story, then_held_by: int) -> int:
    """Job 1 is run by w1, which freezes; the job is rescued and runs again. Returns the first run."""
    job = story.defer()
    story.claim(job)
    story.begin(job)
    story.fault("freeze", "w1", for_s=LEASE_S + 1)
    story.rescue(job, by=story.names[then_held_by])
    story.claim(job, then_held_by)
    story.begin(job, story.names[then_held_by])
    return 0


@violates("I5")
def outcome_from_a_thawed_worker(story: Story) -> None:
    first = _frozen_with_a_job(story, 2)
    [job] = story.jobs
    story.end(story.told.runs[first])
    second = story.told.runs[1]
    story.told.runs[1] = replace(second, has_effect=True)
    story.complete(job, by="w1")
    story.end(story.told.runs[1])


@violates("I5")
def retry_from_a_thawed_worker(story: Story) -> None:
    first = _frozen_with_a_job(story, 2)
    [job] = story.jobs
    story.end(story.told.runs[first], effect=False, error="ValueError")
    story.told.runs[1] = replace(story.told.runs[1], ended_s=story.now_s, error="ValueError")
    story.retry(job, by="w1")
    story.success(job, 2)


@violates("I5")
def release_by_a_thawed_worker_that_is_leaving(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.fault("freeze", "w1", for_s=LEASE_S + 1)
    story.rescue(job)
    story.claim(job, 2)
    story.ask_to_stop("w1")
    story.release(job, by="w1")
    story.success(job, 2)


@violates("I5")
def outcome_of_a_first_claim_for_a_second_one_by_the_same_name(story: Story) -> None:
    again = story.register("w1")
    first = _frozen_with_a_job(story, again)
    [job] = story.jobs
    story.told.runs[1] = replace(story.told.runs[1], has_effect=True)
    story.end(story.told.runs[first])
    story.complete(job)
    story.told.runs[1] = replace(story.told.runs[1], ended_s=story.now_s + 1)


@violates("I5")
def outcome_of_a_thawed_worker_before_anybody_has_claimed_again(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    run = story.begin(job)
    story.fault("freeze", "w1", for_s=LEASE_S + 1)
    story.rescue(job)
    job.token = 1  # a queue that knows no tokens, or does not look at them
    story.told.changes[-1] = replace(story.told.changes[-1], token_before=None, token_after=None)
    story.end(run)
    story.complete(job, spent=0)


@violates("I5")
def outcome_of_a_claim_that_has_not_run(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.complete(job, status="failed", spent=0)


@violates("I5")
def retry_of_a_run_that_went_well(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.run(job)
    story.retry(job)
    story.success(job)


@violates("I5")
def failure_of_a_run_that_went_well(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.run(job)
    story.complete(job, status="failed")


@violates("I5")
def success_of_a_run_that_failed(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.run(job, effect=True, error="ValueError")
    story.complete(job)


@holds
def rescued_from_itself_under_a_new_registration(story: Story) -> None:
    again = story.register("w1")
    first = _frozen_with_a_job(story, again)
    [job] = story.jobs
    story.end(story.told.runs[first])  # its outcome is refused
    story.end(story.told.runs[1])
    story.complete(job)


@holds
def ended_by_a_rescue(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    story.begin(job)
    story.kill("w1")
    story.rescue_for_good(job)


@holds
def given_back_by_a_rescue_since_it_must_not_run_twice_and_had_not_started(story: Story) -> None:
    job = story.defer(task="once")
    story.claim(job)
    story.kill("w1")
    story.release(job, by="w2")
    story.success(job, 2)


@holds
def taken_away_by_hand(story: Story) -> None:
    job = story.defer()
    story.claim(job)
    run = story.begin(job)
    story.retry(job, by="lab")
    story.success(job, 2)
    story.end(run)


# -- I6: locks and jobs are held once -----------------------------------------------------------------


@violates("I6")
def two_claims_of_one_lock(story: Story) -> None:
    first, second = story.defer(lock="a"), story.defer(lock="a")
    story.claim(first)
    story.claim(second, 2)
    story.run(first)
    story.run(second, "w2")
    story.complete(first)
    story.complete(second, "w2")


@violates("I6")
def two_claims_of_one_lock_of_which_the_answer_to_one_defer_was_lost(story: Story) -> None:
    first, second = story.defer(lock="a", result="unknown"), story.defer(lock="a")
    story.claim(first)
    story.claim(second, 2)
    story.run(first)
    story.run(second, "w2")
    story.complete(first)
    story.complete(second, "w2")


@holds
def two_claims_of_two_locks(story: Story) -> None:
    first, second = story.defer(lock="a"), story.defer(lock="b")
    story.claim(first)
    story.claim(second, 2)
    story.run(first)
    story.run(second, "w2")
    story.complete(first)
    story.complete(second, "w2")


@violates("I6")
def run_goes_on_in_a_healthy_worker_while_the_next_of_its_lock_runs(story: Story) -> None:
    first, second = story.defer(lock="a"), story.defer(lock="a")
    story.claim(first)
    run = story.begin(first)
    story.ask_to_abort(first)
    story.complete(first, status="aborted")
    story.claim(second, 2)
    other = story.begin(second, "w2")
    story.end(run, effect=False, error="CancelledError")
    story.end(other)
    story.complete(second, "w2")


@holds
def run_goes_on_in_a_frozen_worker(story: Story) -> None:
    first = _frozen_with_a_job(story, 2)
    [job] = story.jobs
    story.end(story.told.runs[1])
    story.complete(job, "w2")
    story.end(story.told.runs[first])


@holds
def thawed_worker_starts_what_it_has_lost(story: Story) -> None:
    job = story.defer(lock="a")
    token = story.claim(job)
    story.fault("freeze", "w1", for_s=LEASE_S + 1)
    story.rescue(job)
    story.claim(job, 2)
    second = story.begin(job, "w2")
    stale = story.begin(job, "w1", token=token)
    story.end(second)
    story.end(stale)
    story.complete(job, "w2")


@holds
def run_goes_on_after_the_grace_period(story: Story) -> None:
    job = story.defer(task="gate_in_thread")
    story.claim(job)
    story.begin(job)
    story.ask_to_stop("w1", grace_s=0.5)
    story.wait(0.5)
    story.release(job)
    story.success(job, 2)
    story.ends("w1")


@holds
def transactional_task_returns_after_the_next_of_its_lock_has_begun(story: Story) -> None:
    first, second = story.defer(task="transfer", lock="a"), story.defer(lock="a")
    story.claim(first)
    run = story.begin(first)
    story.effect(first)
    story.complete(first)
    story.claim(second, 2)
    other = story.begin(second, "w2")
    story.end(run)
    story.end(other)
    story.complete(second, "w2")


def _crashed(story: Story) -> Job:
    """A job that has crashed twice."""
    job = story.defer()
    for _ in range(2):
        worker_id = story.start(f"victim {story.now_s}")
        story.claim(job, worker_id)
        story.kill(story.names[worker_id])
        story.rescue(job)
    return job


@violates("I6")
def suspects_in_one_worker(story: Story) -> None:
    jobs = [_crashed(story), _crashed(story)]
    for job in jobs:
        story.claim(job)
        story.run(job)
    for job in jobs:
        story.complete(job)


@holds
def suspect_beside_others_and_after_another(story: Story) -> None:
    other = story.defer()
    story.claim(other)
    story.success(_crashed(story))
    story.success(_crashed(story))
    story.run(other)
    story.complete(other)


# -- I7: the order of a lock --------------------------------------------------------------------------


@violates("I7")
def claimed_out_of_turn(story: Story) -> None:
    first, second = story.defer(lock="a"), story.defer(lock="a")
    story.success(second)
    story.success(first)


@violates("I7")
def low_priority_that_came_later_goes_first(story: Story) -> None:
    first, second = story.defer(lock="a", priority=5), story.defer(lock="a", priority=-5)
    story.success(second)
    story.success(first)


@holds
def high_priority_goes_first(story: Story) -> None:
    first, second = story.defer(lock="a", priority=-5), story.defer(lock="a", priority=5)
    story.success(second)
    story.success(first)


@holds
def deferred_at_the_same_time(story: Story) -> None:
    first, second = story.defer(lock="a"), story.defer(lock="a")
    story.told.calls[1] = replace(
        story.told.calls[1], invoked_s=story.told.calls[0].returned_s - 0.01
    )
    story.success(second)
    story.success(first)


@holds
def scheduled_job_lets_others_pass(story: Story) -> None:
    first, second = story.defer(lock="a", is_scheduled=True), story.defer(lock="a")
    story.success(second)
    story.success(first)


@holds
def cancelled_job_has_no_turn(story: Story) -> None:
    first, second = story.defer(lock="a"), story.defer(lock="a")
    story.cancel(first)
    story.success(second)


@holds
def retried_job_lets_others_pass(story: Story) -> None:
    first, second = story.defer(lock="a"), story.defer(lock="a")
    story.claim(first)
    story.run(first, effect=False, error="ValueError")
    story.retry(first)
    story.success(second)
    story.success(first)


@holds
def different_locks_have_no_order(story: Story) -> None:
    first, second = story.defer(lock="a"), story.defer(lock="b")
    story.success(second)
    story.success(first)


# -- I8: processes end as they should -----------------------------------------------------------------


@violates("I8")
def exits_0_unasked(story: Story) -> None:
    story.ends("w1")


@violates("I8")
def exits_0_because_the_database_is_away(story: Story) -> None:
    story.fault("outage", "database", for_s=5)
    story.ends("w1")


@holds
def exits_1_because_the_database_is_away(story: Story) -> None:
    story.fault("outage", "database", for_s=5)
    story.ends("w1", 1)


@violates("I8")
def exits_1_for_no_reason(story: Story) -> None:
    story.ends("w1", 1)


@holds
def exits_0_when_asked(story: Story) -> None:
    story.ask_to_stop("w1")
    story.wait(9.5)
    story.ends("w1")


@violates("I8")
def leaves_too_late(story: Story) -> None:
    story.ask_to_stop("w1")
    story.wait(11.5)
    story.ends("w1")


@holds
def leaves_late_since_it_was_frozen(story: Story) -> None:
    story.ask_to_stop("w1")
    story.fault("freeze", "w1", for_s=5)
    story.wait(6)
    story.ends("w1")


@violates("I8")
def freeze_before_the_signal_does_not_count(story: Story) -> None:
    story.fault("freeze", "w1", for_s=5)
    story.ask_to_stop("w1")
    story.wait(11.5)
    story.ends("w1")


# -- I9: who is well keeps its lease ------------------------------------------------------------------


def _taken(story: Story) -> None:
    """A job that w1 has claimed is rescued, and runs again elsewhere."""
    job = story.jobs[0]
    story.rescue(job)
    story.success(job, 2)


def _held(story: Story) -> None:
    story.claim(story.defer())


@violates("I9")
def taken_from_the_healthy(story: Story) -> None:
    _held(story)
    _taken(story)


@violates("I9")
def ended_by_a_rescue_from_the_healthy(story: Story) -> None:
    _held(story)
    story.rescue_for_good(story.jobs[0])


@violates("I9")
def taken_from_one_that_is_leaving(story: Story) -> None:
    _held(story)
    story.ask_to_stop("w1")
    story.fault("stop", "w1", for_s=1)
    _taken(story)


@violates("I9")
def taken_from_one_that_had_left_in_good_order(story: Story) -> None:
    _held(story)
    story.ask_to_stop("w1")
    story.ends("w1")
    _taken(story)


@holds
def taken_from_one_that_left_when_the_database_was_away(story: Story) -> None:
    _held(story)
    story.ask_to_stop("w1")
    story.fault("outage", "database", for_s=2)
    story.ends("w1")
    _taken(story)


@holds
def taken_from_one_that_ended_badly(story: Story) -> None:
    _held(story)
    story.ask_to_stop("w1")
    story.ends("w1", 7)
    _taken(story)


@holds
def taken_from_the_killed(story: Story) -> None:
    _held(story)
    story.kill("w1")
    _taken(story)


@holds
def taken_from_the_frozen(story: Story) -> None:
    _held(story)
    story.fault("freeze", "w1", for_s=LEASE_S + 1)
    _taken(story)


@violates("I9")
def freeze_long_ago_is_no_excuse(story: Story) -> None:
    _held(story)
    story.fault("freeze", "w1", for_s=LEASE_S)
    story.wait(LEASE_S + 6)
    _taken(story)


@violates("I9")
def freeze_that_hit_nothing_is_no_excuse(story: Story) -> None:
    _held(story)
    story.fault("vanish", "w1", for_s=LEASE_S + 1, hits=0)
    _taken(story)


@violates("I9")
def cut_connections_are_no_excuse(story: Story) -> None:
    _held(story)
    story.fault("cut", "connections")
    _taken(story)


@violates("I9")
def absent_database_is_no_excuse(story: Story) -> None:
    _held(story)
    story.fault("restart", "database", for_s=2)
    _taken(story)


@holds
def everybody_was_harmed(story: Story) -> None:
    _held(story)
    story.fault("vanish", "*", for_s=LEASE_S + 1)
    _taken(story)


# -- I10: queueing locks ------------------------------------------------------------------------------


@violates("I10")
def two_wait_under_one_key(story: Story) -> None:
    jobs = [story.defer(queueing_lock="q"), story.defer(queueing_lock="q")]
    for job in jobs:
        story.success(job)


@holds
def next_comes_after_the_claim(story: Story) -> None:
    first = story.defer(queueing_lock="q")
    story.claim(first)
    second = story.defer(queueing_lock="q")
    story.run(first, effect=False, error="ValueError")
    story.retry(first)
    story.success(second)
    story.success(first)


@holds
def next_comes_after_the_cancellation(story: Story) -> None:
    first = story.defer(queueing_lock="q")
    story.cancel(first)
    story.success(story.defer(queueing_lock="q"))


# -- the tests ----------------------------------------------------------------------------------------


def told(case: Case) -> History:
    story = Story()
    case.tell(story)
    return story.history()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_history_violates_its_invariant_and_no_other(case: Case) -> None:
    verdict = check(told(case))
    assert verdict.violated == ({case.violated} if case.violated else set()), verdict.text()
    assert verdict.ok is (case.violated is None)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_order_in_which_a_history_is_listed_does_not_matter(case: Case) -> None:
    history = told(case)
    expected = {(v.invariant, v.text) for v in check(history).violations}
    draw = random.Random(case.name)
    for _ in range(5):
        for rows in (
            history.calls, history.runs, history.changes, history.leases, history.faults,
            history.workers, history.jobs, history.effects,
        ):  # fmt: skip
            draw.shuffle(rows)  # type: ignore[arg-type]
        assert {(v.invariant, v.text) for v in check(history).violations} == expected


def test_every_invariant_has_a_violation_and_a_near_miss() -> None:
    assert {case.violated for case in CASES} == {i.name for i in INVARIANTS} | {None}
    assert len({case.name for case in CASES}) == len(CASES)


def test_empty_history_holds() -> None:
    assert check(History()).ok


def test_verdict_says_what_was_seen_and_what_is_wrong() -> None:
    text = check(told(next(case for case in CASES if case.name == "completed_twice"))).text()
    assert "1 jobs, 1 runs, 5 changes, 2 worker processes; faults: none" in text
    assert "VIOLATED 1 times\n    job 1 was completed 2 times" in text
    assert "I9 A healthy worker keeps its lease: holds" in text
