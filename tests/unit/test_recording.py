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
    assert recording.ends == [
        {"ids": [1, 2], "lease_tokens": [1, 1], "status": "succeeded", "keep": True, "spent": 1}
    ]


def test_lock_failure_retry_and_release_are_not() -> None:
    job = claimed_job()
    for outcome in (
        Succeeded(job._replace(lock="L")),
        Failed(job, FAILURE),
        Aborted(job, FAILURE),
        Retry(job, FAILURE, None, None, None, None, None),
        Released(job),
    ):
        assert not Recording([outcome], keep_all).is_plain, outcome


def test_abort_before_the_start_leaves_no_failure() -> None:
    recording = Recording([Aborted(claimed_job(), None)], keep_all)
    assert recording.is_plain
    [end] = recording.ends
    assert (end["status"], end["spent"]) == ("aborted", 0)


def test_what_ends_in_two_ways_takes_two_statements() -> None:
    recording = Recording(
        [
            Aborted(claimed_job(1), None),
            Succeeded(claimed_job(2, lease_token=5)),
            Aborted(claimed_job(3), FAILURE),
            Succeeded(claimed_job(4)),
            Aborted(claimed_job(5), None),
        ],
        keep_all,
    )
    assert not recording.is_plain
    assert [(end["status"], end["spent"], end["ids"]) for end in recording.ends] == [
        ("succeeded", 1, [2, 4]),
        ("aborted", 0, [1, 5]),
        ("aborted", 1, [3]),
    ]
    assert recording.ended == {"ids": [2, 4, 1, 5, 3], "lease_tokens": [5, 1, 1, 1, 1]}


def test_each_outcome_goes_to_its_statement() -> None:
    recording = Recording(
        [
            Succeeded(claimed_job(1)),
            Retry(claimed_job(2), FAILURE, AT, None, 5, "elsewhere", "new"),
            Released(claimed_job(3, lease_token=9)),
            Failed(claimed_job(4), FAILURE),
        ],
        keep_all,
    )
    names = [name for name, _ in recording.statements()]
    assert names == ["complete", "complete", "retry", "release"]
    assert [end["ids"] for end in recording.ends] == [[1], [4]]
    statements = dict(recording.statements())
    assert statements["retry"] == {
        "ids": [2],
        "lease_tokens": [1],
        "retry_ats": [AT],
        "retry_ins": [None],
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
            Retry(claimed_job(3, lock="C"), FAILURE, None, None, None, None, "D"),
            Released(claimed_job(4, lock="E")),
        ],
        keep_all,
    )
    assert recording.locks_of({1, 3, 4}) == ["A", "C"]


def test_what_is_not_to_be_kept_is_marked() -> None:
    jobs = [Succeeded(claimed_job(1)), Failed(claimed_job(2), FAILURE)]
    recording = Recording(jobs, lambda status: status != "succeeded")
    assert [(end["status"], end["keep"]) for end in recording.ends] == [
        ("succeeded", False),
        ("failed", True),
    ]
