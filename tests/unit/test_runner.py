"""What runners make of a job that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.runners import Work


async def test_traceback_of_a_failure_begins_with_the_users_code(
    make_work: Callable[..., Work],
) -> None:
    def inner() -> None:
        raise ValueError("no")

    async def task(number: int) -> None:
        inner()

    work = make_work(task)
    work.put(1)
    await work.until(lambda: work.completer.backlog == 1)
    [outcome] = work.completer._waiting
    assert isinstance(outcome, Failed)
    lines = outcome.failure.traceback.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].endswith("in task")
    assert not any("engine" in line for line in lines)


async def test_traceback_of_wrong_arguments_shows_where_they_were_passed(
    make_work: Callable[..., Work],
) -> None:
    async def task(number: int, other: int) -> None: ...

    work = make_work(task)
    work.put(1)
    await work.until(lambda: work.completer.backlog == 1)
    [outcome] = work.completer._waiting
    assert isinstance(outcome, Failed)
    assert outcome.failure.traceback.count("File ") == 1
    assert "missing 1 required positional argument: 'other'" in outcome.failure.traceback
