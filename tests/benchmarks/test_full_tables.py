"""What the scenarios on full tables and beside an old snapshot decide."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from benchmarks.environment import peer_names
from benchmarks.scenarios import SCENARIOS, filling, old_snapshot
from benchmarks.scenarios.filling import Filling

SORTS = set(asdict(Filling(0, 0, 0, 0)))


def test_statements_stand_below_the_sort_that_they_make() -> None:
    text = "-- finished\ninsert\ninto a\n\n-- waiting\ninsert into b\n"
    assert filling.parsed(text) == {"finished": "insert\ninto a", "waiting": "insert into b"}


@pytest.mark.parametrize("peer", [name for name in peer_names() if filling.statements(name)])
def test_peers_statements_make_known_sorts_in_the_number_that_they_are_given(peer: str) -> None:
    found = filling.statements(peer)
    assert {"scheduled", "waiting"} <= set(found) or peer == "raw_sql"
    assert set(found) <= SORTS
    assert all(text.count("%s") == 1 and text.count("%") == 1 for text in found.values())


def test_forthwith_is_filled_with_everything() -> None:
    assert set(filling.statements("forthwith")) == SORTS


def test_what_a_peer_does_not_have_is_not_counted() -> None:
    whole = Filling(finished=4, scheduled=3, waiting=2, locked=1)
    assert whole.within({"finished": "", "waiting": ""}) == Filling(4, 0, 2, 0)


def test_paces_are_those_of_the_first_and_of_the_last_tenth() -> None:
    quick = [second * 10**9 // 10 for second in range(1, 51)]
    slow = [quick[-1] + second * 10**9 for second in range(1, 51)]
    started = [0, *reversed(slow), *quick]  # one never started
    assert old_snapshot.paces(started) == (pytest.approx(10), pytest.approx(1))


def test_long_scenarios_take_part_when_asked_for_by_name_or_in_full() -> None:
    modes = {mode: {n for n, s in SCENARIOS.items() if s.takes_part(mode)} for mode in MODES}
    assert modes["quick"] <= modes["default"] < modes["full"] == set(SCENARIOS)
    assert {"full_tables", "old_snapshot"} <= modes["full"] - modes["default"]


MODES = ("quick", "default", "full")
