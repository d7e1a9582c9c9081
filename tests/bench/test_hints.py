"""What the facts about a server say of its numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.bench.activity import Activity
from forthwith.bench.hints import Hint, hints
from tests.bench.facts import GOOD, QUIET

if TYPE_CHECKING:
    from forthwith.bench.facts import Facts


def topics(found: list[Hint]) -> list[str]:
    return [hint.topic for hint in found]


def with_settings(**settings: str) -> Facts:
    return replace(GOOD, settings={**GOOD.settings, **settings})


def test_good_server_gets_no_hints() -> None:
    assert hints(GOOD, Activity()) == []


@pytest.mark.parametrize(
    ("facts", "topic", "words"),
    [
        (with_settings(fsync="off"), "fsync", "do not count"),
        (with_settings(synchronous_commit="off"), "synchronous_commit", "loses the last jobs"),
        (with_settings(full_page_writes="off"), "full_page_writes", "do not count"),
        (with_settings(autovacuum="off"), "autovacuum", "grows without end"),
        (with_settings(wal_level="logical"), "wal_level", "replica is enough"),
        (with_settings(track_commit_timestamp="on"), "track_commit_timestamp", "turn it off"),
        (with_settings(log_statement="all"), "log_statement", "arguments of jobs"),
        (with_settings(log_min_duration_statement="0"), "log_statement", "arguments of jobs"),
        (with_settings(commit_delay="100"), "commit_delay", "100 microseconds"),
        (with_settings(synchronous_standby_names="b"), "synchronous_standby_names", "standby"),
        (replace(GOOD, round_trip_ms=3.21, commit_ms=4), "round trip", "takes 3.2 ms"),
        (replace(GOOD, commit_ms=7.1, round_trip_ms=0.1), "commit latency", "takes 7.0 ms beyond"),
        (replace(GOOD, cores=1, load_average=0.0), "cores", "1 core, which the server shares"),
        (replace(GOOD, cores=2, is_local=False), "cores", "2 cores: what is measured"),
        (replace(GOOD, load_average=9.0), "load average", "9.0 on 8 cores"),
        (replace(GOOD, oldest_snapshot_transactions=5000), "old snapshot", "5,000 transactions"),
    ],
)
def test_fact_that_holds_back_is_named(facts: Facts, topic: str, words: str) -> None:
    [hint] = hints(facts, QUIET)
    assert hint.topic == topic
    assert words in hint.text


def test_tiny_shared_buffers_are_named() -> None:
    facts = replace(with_settings(shared_buffers="16MB"), sizes={"shared_buffers": 16 * 1024**2})
    [hint] = hints(facts, QUIET)
    assert hint.topic == "shared_buffers"
    assert "is 16MB" in hint.text


@pytest.mark.parametrize("checkpoints", [0, 1, 3])
def test_small_wal_is_named_only_if_it_forced_a_checkpoint(checkpoints: int) -> None:
    facts = replace(with_settings(max_wal_size="1GB"), sizes={"max_wal_size": 1024**3})
    found = hints(facts, Activity(checkpoints=checkpoints))
    assert topics(found) == (["max_wal_size"] if checkpoints else [])
    assert not found or ("once" if checkpoints == 1 else "3 times") in found[0].text


def test_checkpoints_of_a_large_wal_are_no_news() -> None:
    facts = replace(GOOD, sizes={"max_wal_size": 64 * 1024**3})
    assert hints(facts, Activity(checkpoints=4)) == []


def test_snapshot_that_was_seen_during_the_runs_counts() -> None:
    assert topics(hints(GOOD, Activity(oldest_snapshot_transactions=2000))) == ["old snapshot"]


@pytest.mark.parametrize(
    ("event", "topic"), [("WalSync", "WAL"), ("SyncRep", "WAL"), ("DataFileRead", "data files")]
)
def test_what_sessions_wait_for_is_named(event: str, topic: str) -> None:
    activity = Activity()
    activity.waits.update({"CPU": 50, event: 50})
    [hint] = hints(GOOD, activity)
    assert hint.topic == topic
    assert "50% of the time" in hint.text


def test_few_waits_are_no_news() -> None:
    activity = Activity()
    activity.waits.update({"CPU": 90, "WalSync": 10})
    assert hints(GOOD, activity) == []


def test_hints_that_spoil_the_numbers_come_first() -> None:
    facts = replace(with_settings(autovacuum="off", fsync="off"), cores=2)
    found = hints(facts, QUIET)
    assert topics(found)[0] == "fsync"
    assert [hint.spoils for hint in found] == [True, False, False]


def test_settings_that_a_server_lacks_are_passed_over() -> None:
    settings: dict[str, Any] = {}
    assert hints(replace(GOOD, settings=settings, sizes={}), QUIET) == []
