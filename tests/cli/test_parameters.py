"""What the command line's values mean, and which are refused."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import pytest

from forthwith.cli.parameters import due_time, json_object, moment, queue_names, wait_s


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("5m", 300), ("2h", 7200), ("1d", 86400), ("0.5", 0.5), ("0", 0)],
)
def test_waits_have_units(text: str, seconds: float) -> None:
    assert wait_s(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "5 minutes", "1w", "inf", "nan", "1e9", "9" * 400])
def test_other_waits_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        wait_s(text)


def test_moments_are_converted_to_utc() -> None:
    assert moment("2030-01-31T09:00:00+01:00") == datetime(2030, 1, 31, 8, tzinfo=UTC)
    assert moment("2030-01-31T09:00:00Z").tzinfo is UTC


@pytest.mark.parametrize(
    "text", ["2030-01-31T09:00:00", "2030-01-31", "tomorrow", "", "0001-01-01T00:00:00+10:00"]
)
def test_moments_without_an_offset_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        moment(text)


@pytest.mark.parametrize("text", ["[1]", "1", "{", "", '{"a": NaN}', '{"a": Infinity}', "[" * 9999])
def test_arguments_must_be_a_json_object(text: str) -> None:
    with pytest.raises(click.BadParameter):
        json_object(text)


def test_queues_are_separated_by_commas() -> None:
    assert queue_names("a, b,a") == ["a", "b"]


@pytest.mark.parametrize("text", ["", ",", "a,", "a,,b"])
def test_empty_queue_names_are_refused(text: str) -> None:
    with pytest.raises(click.BadParameter):
        queue_names(text)


def test_a_moment_and_a_wait_exclude_each_other() -> None:
    with pytest.raises(click.UsageError):
        due_time(datetime.now(UTC), 5.0)
