"""Names, numbers and times that a user passes."""

from __future__ import annotations

import datetime
import enum
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forthwith.errors import InvalidArgument
from forthwith.options import (
    LOCK_CHARACTERS_MAX,
    NAME_CHARACTERS_MAX,
    check_count,
    check_flag,
    check_known,
    check_lock,
    check_name,
    check_positive,
    check_priority,
    check_schedule,
    schedule_from,
)

UTC = datetime.UTC
LAST = datetime.datetime.max.replace(tzinfo=UTC)
FIRST = datetime.datetime.min.replace(tzinfo=UTC)


def hours(count: int) -> datetime.timezone:
    return datetime.timezone(datetime.timedelta(hours=count))


@pytest.mark.parametrize("value", ["a", "é😀", "a b", "x" * NAME_CHARACTERS_MAX])
def test_a_name_is_any_short_text(value: str) -> None:
    assert check_name("queue", value) == value


@pytest.mark.parametrize(
    "value",
    ["", "a\0b", "\ud800", "é\udfff", "x" * (NAME_CHARACTERS_MAX + 1), b"queue", 3, None, ["a"]],
)
def test_what_cannot_name_a_queue_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^queue: ") as refused:
        check_name("queue", value)
    assert refused.value.argument == "queue"


@settings(deadline=None, max_examples=50)
@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_any_name_with_a_nul_is_refused(before: str, after: str) -> None:
    with pytest.raises(InvalidArgument):
        check_name("lock", f"{before}\0{after}")


def test_locks_may_be_longer_than_names() -> None:
    longest = "x" * LOCK_CHARACTERS_MAX
    assert check_lock("lock", longest) == longest
    with pytest.raises(InvalidArgument, match=f"{LOCK_CHARACTERS_MAX} are allowed"):
        check_lock("lock", longest + "x")


def test_members_of_enumerations_become_plain_values() -> None:
    class Queue(str, enum.Enum):  # noqa: UP042 -- the one whose str() is not its value
        MAIL = "mail"

    class Priority(enum.IntEnum):
        HIGH = 7

    assert type(check_name("queue", Queue.MAIL)) is str
    assert check_name("queue", Queue.MAIL) == "mail"
    assert type(check_priority("priority", Priority.HIGH)) is int


@pytest.mark.parametrize("value", [0, -5, 2**31 - 1, -(2**31)])
def test_priorities_are_32_bit_integers(value: int) -> None:
    assert check_priority("priority", value) == value


@pytest.mark.parametrize("value", [2**31, -(2**31) - 1, True, 1.0, "1", None])
def test_other_priorities_are_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument):
        check_priority("priority", value)


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, True, "1", None, 10**400])
def test_only_finite_numbers_above_zero_are_positive(value: Any) -> None:
    with pytest.raises(InvalidArgument):
        check_positive("timeout", value)


def test_counts_and_flags_are_what_they_say() -> None:
    assert check_count("crashes_max", 1) == 1
    assert check_flag("jitter", False) is False
    for wrong in (0, -1, True, 1.0, "1", None):
        with pytest.raises(InvalidArgument):
            check_count("crashes_max", wrong)
    for wrong in (0, 1, "true", None):
        with pytest.raises(InvalidArgument):
            check_flag("jitter", wrong)


def test_an_unknown_option_names_the_nearest_known_one() -> None:
    known = frozenset({"lock", "queue", "schedule_in"})
    check_known(["lock", "queue"], known)
    with pytest.raises(InvalidArgument, match="did you mean schedule_in"):
        check_known(["lock", "shedule_in"], known)
    with pytest.raises(InvalidArgument, match="use one of lock, queue, schedule_in"):
        check_known(["xyz"], known)


@pytest.mark.parametrize(
    "value",
    [
        datetime.datetime(2026, 1, 1),  # noqa: DTZ001
        datetime.date(2026, 1, 1),
        "2026-01-01T00:00:00Z",
        1767225600,
        datetime.datetime.max.replace(tzinfo=hours(-5)),
        datetime.datetime.min.replace(tzinfo=hours(5)),
    ],
)
def test_only_aware_datetimes_can_be_scheduled(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^schedule_at: "):
        check_schedule("schedule_at", value)


@pytest.mark.parametrize("value", [LAST, FIRST, datetime.datetime(2026, 1, 1, tzinfo=hours(5))])
def test_an_aware_datetime_stays_the_same_moment(value: datetime.datetime) -> None:
    due = schedule_from(schedule_at=value)
    assert (due, due and due.tzinfo) == (value, datetime.UTC)


def test_without_a_schedule_a_job_is_due_at_once() -> None:
    assert schedule_from() is None


def test_a_delay_counts_from_now() -> None:
    delay = datetime.timedelta(weeks=1, minutes=5, seconds=0.5)
    before = datetime.datetime.now(tz=UTC)
    due = schedule_from(schedule_in={"weeks": 1, "minutes": 5, "seconds": 0.5})
    assert due is not None
    assert before + delay <= due <= datetime.datetime.now(tz=UTC) + delay


@pytest.mark.parametrize(
    ("delay", "due"),
    [
        ({"days": 10**7}, LAST),
        ({"weeks": 1e300}, LAST),
        ({"days": 10**30}, LAST),
        ({"days": -(10**7)}, FIRST),
        ({"days": -1e300, "seconds": 5}, FIRST),
    ],
)
def test_a_delay_beyond_the_calendar_ends_with_it(
    delay: dict[str, float], due: datetime.datetime
) -> None:
    assert schedule_from(schedule_in=delay) == due


@pytest.mark.parametrize(
    "delay",
    [
        {"minuts": 5},
        {"years": 1},
        {1: 5},
        {"minutes": "5"},
        {"minutes": None},
        {"minutes": True},
        {"minutes": math.nan},
        {"minutes": math.inf},
        {"minutes": 10**400},
        5,
        "5 minutes",
        datetime.timedelta(minutes=5),
    ],
)
def test_a_delay_that_makes_no_sense_is_refused(delay: Any) -> None:
    with pytest.raises(InvalidArgument) as refused:
        schedule_from(schedule_in=delay)
    assert refused.value.argument.startswith("schedule_in")


def test_a_time_and_a_delay_exclude_each_other() -> None:
    with pytest.raises(InvalidArgument, match="schedule_at"):
        schedule_from(schedule_at=LAST, schedule_in={"minutes": 5})
