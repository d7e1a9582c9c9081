"""The schedule of faults is drawn before a campaign begins, and again from the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forthwith.errors import InvalidArgument
from forthwith.verify.plan import SERVER_FAULTS, FaultKind, PlannedFault, check_kinds, draw_faults

SEEDS = st.integers(min_value=0, max_value=1_000_000)


def draw(seed: int, duration_s: float = 120.0) -> list[PlannedFault]:
    return draw_faults(seed, FaultKind, duration_s=duration_s, workers=3, lease_s=4.0)


@given(SEEDS)
def test_same_seed_gives_the_same_schedule(seed: int) -> None:
    assert draw(seed) == draw(seed)


@given(SEEDS)
def test_two_minutes_have_room_for_every_kind_at_least_twice(seed: int) -> None:
    kinds = [fault.kind for fault in draw(seed)]
    assert {kind: kinds.count(kind) >= 2 for kind in FaultKind} == dict.fromkeys(FaultKind, True)


@given(SEEDS, st.floats(min_value=6.0, max_value=600.0))
def test_faults_come_in_order_and_are_over_before_the_end(seed: int, duration_s: float) -> None:
    faults = draw(seed, duration_s)
    assert faults
    assert [fault.at_s for fault in faults] == sorted(fault.at_s for fault in faults)
    for fault in faults[1:]:
        assert fault.at_s + fault.for_s < duration_s
        assert 0 <= fault.worker < 3


def test_other_seeds_give_other_schedules() -> None:
    assert len({tuple(draw(seed)) for seed in range(20)}) == 20


def test_users_own_server_is_never_stopped() -> None:
    assert not SERVER_FAULTS & set(check_kinds([], own_server=False))
    assert set(check_kinds([], own_server=True)) == set(FaultKind)
    with pytest.raises(InvalidArgument, match=r"faults.*'outage' would stop your server"):
        check_kinds(["kill", "outage"], own_server=False)
    assert check_kinds(["kill"], own_server=False) == [FaultKind.KILL]


def test_unknown_fault_is_named_with_the_known_ones() -> None:
    with pytest.raises(InvalidArgument, match=r"faults.*'flood'.*kill, freeze"):
        check_kinds(["flood"], own_server=True)
