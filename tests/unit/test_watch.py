"""Who is gone, by what one observer saw: silence by its own clock, whatever the database's clock says."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forthwith.engine.watch import Gone, Look, Sighting, Watch

NOON = datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC)
WORKER = Sighting(
    worker_id=7,
    last_seen=NOON,
    lease_s=30.0,
    renew_interval_s=1.0,
    is_expired=False,
    has_ended=False,
    has_session=True,
    server_age_s=0.0,
)


@dataclass
class Observed:
    """A watch, and the world that it looks at: one worker, unless a test adds others."""

    watch: Watch = field(default_factory=lambda: Watch(renew_interval_s=1.0, lease_s=30.0))
    now_s: float = 1000.0
    session: int = 1
    server_age_s: float = 1e6
    seen: Sighting = WORKER

    def renew(self, worker_id: int = 7) -> None:
        """Let the worker renew: all that is seen of it is another time, no matter which."""
        later = self.seen.last_seen + datetime.timedelta(microseconds=1)
        self.seen = self.seen._replace(worker_id=worker_id, last_seen=later)

    def change(self, **changes: object) -> None:
        """Let something else be seen of the worker."""
        self.seen = self.seen._replace(**changes)  # type: ignore[arg-type]

    def look(self, *, took_s: float = 0.0) -> list[Gone]:
        """Look at the worker now; its session is seen only if the watch asks for it."""
        asks = self.seen.worker_id in self.watch.doubted_ids(self.now_s)
        seen = self.seen._replace(
            has_session=self.seen.has_session if asks else None, server_age_s=self.server_age_s
        )
        asked_s = self.now_s
        self.now_s += took_s
        return self.watch.observe(Look(self.session, asked_s, self.now_s, [seen]))

    def gone_after_s(self, limit_s: float) -> float | None:
        """Look as a rescuer does; return after how many seconds the worker is gone."""
        started_s = self.now_s
        while self.now_s - started_s < limit_s:
            if self.look():
                return self.now_s - started_s
            sooner_s = self.watch.next_look_in_s(self.now_s)
            self.now_s += 1.0 if sooner_s is None else min(1.0, sooner_s)
        return None


@pytest.fixture
def observed() -> Observed:
    """A worker that was seen for long, and renewed just now."""
    observed = Observed()
    observed.look()
    observed.now_s += 60.0
    observed.renew()
    observed.look()
    return observed


def test_worker_that_renews_is_never_gone(observed: Observed) -> None:
    observed.change(has_session=False, is_expired=True)
    for _ in range(100):
        observed.now_s += 1.0
        observed.renew()
        assert observed.look() == []


def test_silence_of_one_and_a_half_intervals_without_a_session_is_the_end(
    observed: Observed,
) -> None:
    observed.change(has_session=False)
    assert observed.gone_after_s(60) == pytest.approx(1.5, abs=0.11)
    assert observed.look() == [Gone(7, observed.seen.last_seen, sessionless=True)]


def test_worker_with_a_session_is_silent_for_a_lease_before_it_is_gone(observed: Observed) -> None:
    assert observed.gone_after_s(60) == pytest.approx(30, abs=0.11)
    assert observed.look() == [Gone(7, observed.seen.last_seen, sessionless=False)]


def test_session_that_is_missing_at_one_look_alone_is_no_end(observed: Observed) -> None:
    observed.now_s += 10.0
    observed.change(has_session=False)
    assert observed.look() == []
    observed.change(has_session=True)
    observed.now_s += 0.3
    assert observed.look() == []
    observed.change(has_session=False)
    observed.now_s += 0.3
    assert observed.look() == [], "missing anew"
    observed.now_s += 0.1
    assert observed.look() == [], "taken again within a fraction of a second"
    observed.now_s += 0.2
    assert len(observed.look()) == 1


def test_worker_that_has_ended_is_gone_at_once() -> None:
    observed = Observed()
    observed.change(has_ended=True)
    assert observed.look() == [Gone(7, NOON, sessionless=False)]


class TestClocks:
    def test_forward_jump_of_the_databases_clock_makes_nobody_gone(
        self, observed: Observed
    ) -> None:
        observed.change(is_expired=True)
        for _ in range(3):
            observed.now_s += 0.3
            assert observed.look() == []
        observed.renew()
        observed.change(is_expired=False)
        observed.now_s += 0.3
        assert observed.look() == []

    def test_backward_jump_keeps_a_silent_worker_for_a_lease_and_no_longer(
        self, observed: Observed
    ) -> None:
        observed.change(is_expired=False)
        assert observed.gone_after_s(60) == pytest.approx(30, abs=0.11)

    def test_expired_lease_counts_when_the_silence_was_observed_too(
        self, observed: Observed
    ) -> None:
        observed.change(is_expired=True)
        after_s = observed.gone_after_s(60)
        assert after_s is not None
        assert 5 <= after_s <= 6

    def test_short_lease_is_not_stretched(self) -> None:
        observed = Observed()
        observed.change(lease_s=3.0, is_expired=True)
        observed.look()
        observed.now_s += 60
        observed.renew()
        observed.look()
        assert observed.gone_after_s(60) == pytest.approx(3, abs=0.11)

    def test_start_of_the_server_in_the_future_gives_no_grace(self, observed: Observed) -> None:
        observed.change(has_session=False)
        observed.server_age_s = -3600.0  # it started before the clock jumped back
        assert observed.gone_after_s(60) == pytest.approx(1.5, abs=0.11)


class TestPatience:
    def test_nobody_is_gone_right_after_a_start_of_the_server(self, observed: Observed) -> None:
        observed.change(has_session=False, is_expired=True)
        observed.server_age_s = 4.9
        assert observed.gone_after_s(60) is None
        observed.server_age_s = 5.1
        assert len(observed.look()) == 1

    def test_first_looks_take_two_seconds(self) -> None:
        observed = Observed()
        observed.change(has_session=False, is_expired=True)
        assert observed.gone_after_s(60) == pytest.approx(2, abs=0.11)

    def test_what_was_seen_before_our_own_connection_broke_counts_no_more(
        self, observed: Observed
    ) -> None:
        observed.change(has_session=False, is_expired=True)
        observed.now_s += 60
        observed.session = 2
        assert observed.gone_after_s(60) == pytest.approx(5, abs=0.11)

    def test_what_was_seen_before_a_failed_look_counts_no_more(self, observed: Observed) -> None:
        observed.change(has_session=False, is_expired=True)
        observed.watch.interrupt()
        observed.now_s += 60
        assert observed.gone_after_s(60) == pytest.approx(5, abs=0.11)

    def test_failed_looks_before_the_first_one_call_for_patience(self) -> None:
        observed = Observed()
        observed.change(has_session=False, is_expired=True)
        observed.watch.interrupt()
        assert observed.gone_after_s(60) == pytest.approx(5, abs=0.11)

    def test_look_that_hung_shows_silence_of_the_database_not_of_workers(
        self, observed: Observed
    ) -> None:
        observed.change(lease_s=3.0, has_session=True, is_expired=True)
        observed.now_s += 1.0
        assert observed.look(took_s=20.0) == []
        assert observed.gone_after_s(60) == pytest.approx(5, abs=0.11)

    def test_only_silence_between_an_answer_and_the_next_question_counts(
        self, observed: Observed
    ) -> None:
        observed.change(has_session=False)
        for _ in range(3):  # each look takes long: it may show what was so at its beginning
            observed.renew()
            assert observed.look(took_s=1.9) == []
            observed.now_s += 1.3
            assert observed.look(took_s=1.9) == []


class TestWhatWorkersSay:
    @pytest.mark.parametrize(
        ("renew_interval_s", "expected_s"), [(0.1, 1.2), (1.0, 1.5), (10.0, 15.0), (None, 2.5)]
    )
    def test_silence_is_measured_by_the_workers_own_interval(  # the shortest: the second look
        self, renew_interval_s: float | None, expected_s: float
    ) -> None:
        observed = Observed()
        observed.change(renew_interval_s=renew_interval_s)
        observed.look()
        observed.now_s += 60
        observed.renew()
        observed.change(has_session=False)
        assert observed.gone_after_s(60) == pytest.approx(expected_s, abs=0.11)

    def test_lease_of_a_worker_that_does_not_say_is_the_watchers_own(self) -> None:
        observed = Observed()
        observed.change(lease_s=None)
        assert observed.gone_after_s(60) == pytest.approx(30, abs=0.11)


class TestAnObserverThatCannotRenewItself:
    """As on a full disk, where all can look and nobody can write."""

    @staticmethod
    def look(watch: Watch, now_s: float, *seen: Sighting) -> list[int]:
        """Look as worker 1."""
        gone = watch.observe(Look(1, now_s, now_s, seen), observer_id=1)
        return [each.worker_id for each in gone]

    def test_takes_nobody_for_dead(self) -> None:
        watch = Watch(renew_interval_s=1.0, lease_s=30.0)
        us, other = (WORKER._replace(worker_id=n, server_age_s=1e6) for n in (1, 2))
        for now_s in range(100, 200):
            lapsed = {"is_expired": now_s > 130, "has_session": now_s % 3 == 0}
            assert self.look(watch, now_s, *(each._replace(**lapsed) for each in (us, other))) == []
        # We can write again. The other one follows within a second; if not, it is gone after two.
        for late_s in (0.1, 0.6, 1.1, 1.6, 1.9):
            renewed = us._replace(last_seen=NOON + datetime.timedelta(seconds=late_s))
            assert self.look(watch, 199 + late_s, renewed, other) == []
        renewed = us._replace(last_seen=NOON + datetime.timedelta(seconds=2.1))
        assert self.look(watch, 201.1, renewed, other) == [2]


class TestLooks:
    def test_sessions_are_asked_of_silent_workers_alone(self, observed: Observed) -> None:
        assert observed.watch.doubted_ids(observed.now_s) == []
        assert observed.watch.doubted_ids(observed.now_s + 1.1) == []
        assert observed.watch.doubted_ids(observed.now_s + 1.25) == [7]

    def test_looks_come_no_sooner_where_everybody_renews(self, observed: Observed) -> None:
        for _ in range(10):
            observed.now_s += 1.0
            observed.renew()
            observed.look()
            assert observed.watch.next_look_in_s(observed.now_s) is None

    def test_frozen_worker_causes_no_stream_of_looks(self, observed: Observed) -> None:
        looks = 0
        end_s = observed.now_s + 29
        while observed.now_s < end_s:
            assert observed.look() == []
            looks += 1
            sooner_s = observed.watch.next_look_in_s(observed.now_s)
            observed.now_s += 1.0 if sooner_s is None else min(1.0, sooner_s)
        assert looks <= 32

    def test_worker_that_is_off_the_list_is_forgotten(self, observed: Observed) -> None:
        observed.watch.observe(Look(1, observed.now_s, observed.now_s, []))
        assert observed.watch.doubted_ids(observed.now_s + 100) == []
        assert observed.watch.next_look_in_s(observed.now_s) is None


@given(
    renewals_s=st.lists(st.floats(0.05, 1.3), min_size=1, max_size=30),
    pauses_s=st.lists(st.floats(0.01, 30), min_size=1, max_size=30),
    breaks=st.sets(st.integers(0, 30)),
    expired=st.lists(st.booleans(), min_size=1),
)
def test_nobody_who_renews_in_time_is_gone_whatever_the_clocks_and_connections_do(
    renewals_s: list[float], pauses_s: list[float], breaks: set[int], expired: list[bool]
) -> None:
    observed = Observed()
    observed.change(has_session=False)
    next_renewal_s = observed.now_s
    for number, pause_s in enumerate(pauses_s):
        observed.now_s += pause_s
        while next_renewal_s <= observed.now_s:
            observed.renew()
            next_renewal_s += renewals_s[number % len(renewals_s)]
        if number in breaks:
            observed.session += 1
        observed.change(is_expired=expired[number % len(expired)])
        assert observed.look() == []


class TestIdleWorkers:
    """They renew seldom: nobody needs to look often, and their word counts once they have renewed."""

    @staticmethod
    def pace(*seen: Sighting) -> float:
        watch = Watch(renew_interval_s=1.0, lease_s=30.0)
        watch.observe(Look(1, 100.0, 100.0, seen), observer_id=1)
        return watch.usual_interval_s

    def test_looks_are_as_frequent_as_the_most_frequent_of_the_others_renews(self) -> None:
        us, other, third = (WORKER._replace(worker_id=n) for n in (1, 2, 3))
        quiet = other._replace(renew_interval_s=10.0)
        assert self.pace(us) == 10.0
        assert self.pace(us, quiet) == 10.0
        assert self.pace(us, quiet, third._replace(renew_interval_s=0.5)) == 0.5
        assert self.pace(us, quiet._replace(renew_interval_s=60.0)) == 10.0
        assert self.pace(us, quiet._replace(renew_interval_s=None)) == 0.0
        assert self.pace(us, quiet._replace(has_ended=True)) == 0.0

    def test_failed_look_makes_the_next_ones_frequent(self) -> None:
        watch = Watch(renew_interval_s=1.0, lease_s=30.0)
        watch.observe(Look(1, 100.0, 100.0, [WORKER._replace(worker_id=1)]), observer_id=1)
        watch.interrupt()
        assert watch.usual_interval_s == 0.0

    def test_observer_that_renews_seldom_must_renew_before_it_judges(self) -> None:
        watch = Watch(renew_interval_s=1.0, lease_s=30.0)
        us = WORKER._replace(worker_id=1, server_age_s=1e6, renew_interval_s=10.0)
        dead = us._replace(worker_id=2, renew_interval_s=1.0, has_session=False)
        seen = [watch.observe(Look(1, s, s, [us, dead]), 1) for s in (100.0, 101.1)]
        assert seen == [[], []]
        assert not watch.has_doubts
        seen = [watch.observe(Look(1, s, s, [us, dead]), 1) for s in (102.5, 103.0, 104.0)]
        assert seen == [[], [], []], "perhaps nobody can renew: we have not tried"
        assert watch.has_doubts
        renewed = us._replace(last_seen=NOON + datetime.timedelta(seconds=1))
        gone = watch.observe(Look(1, 104.5, 104.5, [renewed, dead]), 1)
        assert [each.worker_id for each in gone] == [2]
