"""What `--where` takes, and what it says of the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import click
import pytest

from forthwith.cli.commands.jobs import STATES
from forthwith.cli.where import KEYS, where
from forthwith.operations import STATUSES, JobFilter


def test_all_conditions_hold_at_once() -> None:
    wanted = where("queue=mail state=failed error=SMTPError task='send mail' lock=a=b worker=7")
    assert wanted == JobFilter(
        queue="mail", status="failed", error="SMTPError", task="send mail", lock="a=b", worker_id=7
    )


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
    ],
)
def test_times_may_lie_so_long_ago(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    at = where(f"since={text}").deferred_after
    assert at is not None
    assert before - ago <= at <= datetime.now(UTC) - ago


def test_times_may_be_iso() -> None:
    wanted = where("since=2030-01-31T09:00:00+01:00 until=2030-02-01T00:00:00Z")
    assert wanted.deferred_after == datetime(2030, 1, 31, 8, tzinfo=UTC)
    assert wanted.deferred_before == datetime(2030, 2, 1, tzinfo=UTC)


def test_ended_is_another_time_than_since() -> None:
    wanted = where("ended=2030-01-31T09:00:00Z")
    assert wanted.ended_after == datetime(2030, 1, 31, 9, tzinfo=UTC)
    assert wanted.deferred_after is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no condition"),
        ("  ", "names no condition"),
        ("queue", "'queue' is not KEY=VALUE"),
        ("queue=", "queue has no value"),
        ("quue=mail", "there is no key 'quue'; did you mean queue?"),
        ("=mail", "there is no key ''"),
        ("queue=a queue=b", "queue is there twice"),
        ("task='send", "a quote is not closed"),
        ("state=lost", "state: must be one of todo"),
        ("since=yesterday", "since: 'yesterday' is neither"),
        ("since=90", "since: '90' is neither"),
        ("since=2030-01-31T09:00:00", "has no offset"),
        ("until=5w", "until: '5w' is neither"),
        ("worker=ada", "worker: 'ada' is not a worker's id"),
        ("worker=0", "worker"),
        ("text=\x00", "text"),
    ],
)
def test_what_is_wrong_is_named(text: str, told: str) -> None:
    with pytest.raises(click.BadParameter) as caught:
        where(text)
    assert told in caught.value.message


def test_an_unknown_key_is_answered_with_the_good_ones() -> None:
    with pytest.raises(click.BadParameter) as caught:
        where("colour=red")
    assert all(key in caught.value.message for key in KEYS)


def test_the_states_of_jobs_are_those_of_the_desk() -> None:
    assert STATES == STATUSES
