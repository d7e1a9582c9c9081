"""What a supervisor does about a worker process that has ended."""

from __future__ import annotations

import signal

import pytest

from forthwith.cli.exit_code import ExitCode
from forthwith.cli.restart import (
    DELAY_MAX_S,
    Decision,
    Ended,
    decide,
    describe_end,
    restart_delay_s,
)


def ended(return_code: int, *, stopping: bool = False, one_shot: bool = False) -> Ended:
    return Ended(return_code, lived_s=1.0, stopping=stopping, one_shot=one_shot)


@pytest.mark.parametrize("code", [1, 4, -signal.SIGKILL, -signal.SIGSEGV, 0, -signal.SIGTERM])
def test_a_process_that_ends_by_itself_is_replaced(code: int) -> None:
    assert decide(ended(code), 0).restart_delay_s is not None


@pytest.mark.parametrize("code", [0, -signal.SIGTERM, -signal.SIGINT, 130])
def test_a_process_that_was_told_to_stop_stays_away(code: int) -> None:
    assert decide(ended(code, stopping=True), 0) == Decision(None)


def test_a_process_killed_while_stopping_is_a_failure() -> None:
    assert decide(ended(-signal.SIGKILL, stopping=True), 0) == Decision(None, failed=True)


def test_a_finished_one_shot_stays_away_and_a_killed_one_is_replaced() -> None:
    assert decide(ended(0, one_shot=True), 0) == Decision(None)
    assert decide(ended(-signal.SIGKILL, one_shot=True), 0).restart_delay_s is not None


@pytest.mark.parametrize(
    "code", [ExitCode.USAGE, ExitCode.APP_NOT_LOADED, ExitCode.SCHEMA_MISMATCH]
)
def test_what_an_operator_must_mend_is_not_tried_again(code: ExitCode) -> None:
    assert decide(ended(code), 0).give_up


def test_the_delay_doubles_up_to_its_maximum() -> None:
    assert [restart_delay_s(deaths) for deaths in range(4)] == [0.5, 1.0, 2.0, 4.0]
    assert restart_delay_s(10_000) == DELAY_MAX_S


def test_ends_are_described_in_words() -> None:
    assert describe_end(3) == "exit code 3"
    assert describe_end(-9) == "killed by SIGKILL"
    assert describe_end(-63) == "killed by signal 63"
