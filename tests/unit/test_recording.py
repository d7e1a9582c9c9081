"""Outcomes as parameters of statements."""

from __future__ import annotations

import datetime

from forthwith.outcome import Aborted, Failed, Failure, Released, Retry, Succeeded
from forthwith.store.recording import Recording
from tests.unit.claimed import claimed_job

FAILURE = Failure("failed", "ValueError", "went wrong", "Traceback")
AT = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)


def keep_all(status: str) -> bool:
    """Keep everything in history."""
    return True


def test_successes_without_locks_are_plain() -> None:
    recording = Recording([Succeeded(claimed_job(1)), Succeeded(claimed_job(2))], keep_all)
    assert recording.is_plain
    assert recording.ends == {
        "ids": [1, 2],
        "lease_tokens": [1, 1],
        "statuses": ["succeeded", "succeeded"],
        "keeps": [True, True],
        "spents": [1, 1],
    }


def test_lock_failure_retry_and_release_are_not() -> None:
    job = claimed_job()
    for outcome in (
        Succeeded(job._replace(lock="L")),
        Failed(job, FAILURE),
        Aborted(job, FAILURE),
        Retry(job, FAILURE, None, None, None, None),
        Released(job),
    ):
        assert not Recording([outcome], keep_all).is_plain, outcome


def test_abort_before_the_start_leaves_no_failure() -> None:
    recording = Recording([Aborted(claimed_job(), None)], keep_all)
    assert recording.is_plain
    assert recording.ends["statuses"] == ["aborted"]
    assert recording.ends["spents"] == [0]


def test_each_outcome_goes_to_its_statement() -> None:
    recording = Recording(
        [
            Succeeded(claimed_job(1)),
            Retry(claimed_job(2), FAILURE, AT, 5, "elsewhere", "new"),
            Released(claimed_job(3, lease_token=9)),
            Failed(claimed_job(4), FAILURE),
        ],
        keep_all,
    )
    statements = dict(recording.statements())
    assert list(statements) == ["complete", "retry", "release"]
    assert statements["complete"]["ids"] == [1, 4]
    assert statements["retry"] == {
        "ids": [2],
        "lease_tokens": [1],
        "retry_ats": [AT],
        "spents": [1],
        "priorities": [5],
        "queues": ["elsewhere"],
        "locks": ["new"],
    }
    assert statements["release"] == {"ids": [3], "lease_tokens": [9]}


def test_statements_without_rows_are_left_out() -> None:
    assert [name for name, _ in Recording([Released(claimed_job())], keep_all).statements()] == [
        "release"
    ]


def test_only_accepted_failures_are_recorded() -> None:
    recording = Recording(
        [Failed(claimed_job(1, attempts=2), FAILURE), Failed(claimed_job(2), FAILURE)], keep_all
    )
    assert recording.failures_of({1}) == {
        "job_ids": [1],
        "worker_ids": [7],
        "attempts": [3],
        "kinds": ["failed"],
        "exception_types": ["ValueError"],
        "messages": ["went wrong"],
        "tracebacks": ["Traceback"],
    }
    assert recording.attempts_but({1}) == {"job_ids": [2], "attempts": [1], "worker_ids": [7]}


def test_only_the_lines_of_accepted_outcomes_advance() -> None:
    recording = Recording(
        [
            Succeeded(claimed_job(1, lock="A")),
            Failed(claimed_job(2, lock="B"), FAILURE),
            Retry(claimed_job(3, lock="C"), FAILURE, None, None, None, "D"),
            Released(claimed_job(4, lock="E")),
        ],
        keep_all,
    )
    assert recording.locks_of({1, 3, 4}) == ["A", "C"]


def test_what_is_not_to_be_kept_is_marked() -> None:
    jobs = [Succeeded(claimed_job(1)), Failed(claimed_job(2), FAILURE)]
    recording = Recording(jobs, lambda status: status != "succeeded")
    assert recording.ends["keeps"] == [False, True]
