"""Decides which workers are gone, from what one observer saw of them by a clock of its own.

The database's clock says when a lease has expired. It may jump; so nobody is gone who was not also
silent for long enough here, by the monotonic clock, before our own eyes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import datetime
    from collections.abc import Sequence

# A living worker renews once an interval, and its lease keeper connects anew within a fraction of it.
INTERVALS_MISSED = 1.5
SPARE_S_MIN = 0.5
# Workers of the version before take longer to come back, and do not say how often they renew.
INTERVALS_MISSED_UNKNOWN = 2.5
DOUBTED_SHARE = 0.8
"""The share of the silence that makes a worker gone, after which we look at its lock."""
LOCKLESS_S_MIN = 0.2
"""A lock that is missing must be missing for so long: its worker may just be taking it again."""
EXPIRED_S_MIN = 5.0
"""A lease that has expired by the database's clock counts after so much silence before our eyes."""
FIRST_PATIENCE_S = 2.0
PATIENCE_S = 5.0
"""After a break in what we saw: where our own connection broke, so may all others have."""
SLOW_LOOK_S = 2.0
"""A look that took longer is such a break: renewals hung as it did."""
LOOK_AGAIN_S = 0.1
QUIET_S = 10.0
"""How often to look, at the least, when those who are there renew seldom: they have no jobs."""


class Sighting(NamedTuple):
    """A worker, as a look found it. Only whether `last_seen` changes matters, not what time it is."""

    worker_id: int
    last_seen: datetime.datetime
    lease_s: float | None
    renew_interval_s: float | None
    is_expired: bool
    """Its lease has expired by the database's clock."""
    has_ended: bool
    """Its lease was ended for good: it left with jobs claimed, or some of them were rescued."""
    has_session: bool | None
    """A session holds its advisory lock. None: not asked."""
    server_age_s: float
    """For how long the server has run, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at all workers showed, and when, by the observer's monotonic clock."""

    session: int
    """Our own connection: another one after it broke."""
    asked_s: float
    answered_s: float
    sightings: Sequence[Sighting]


class Gone(NamedTuple):
    """A worker to take over from, if it is still as it was observed."""

    worker_id: int
    last_seen: datetime.datetime
    sessionless: bool
    """It is gone only if it has no session."""


@dataclass(frozen=True, slots=True)
class _Silence:
    """For how long a worker has not renewed, and how long it may be so."""

    last_seen: datetime.datetime
    since_s: float
    missing_after_s: float
    lease_s: float
    silent_s: float = 0.0
    lockless_since_s: float | None = None

    @property
    def doubted_after_s(self) -> float:
        return DOUBTED_SHARE * self.missing_after_s


class Watch:
    """Remembers since when each worker has been silent, and says who is gone.

    A worker is gone when it has ended; or when it is silent for `missing_after_s` (one and a half of
    the intervals in which it renews) and has no session; or when it is silent and its lease has expired
    by the database's clock; or when it is silent for as long as a lease, whatever that clock says.
    Silence proves nothing while the observer cannot renew either: a full disk silences everybody, and
    refused renewals end sessions. So an observer that renews seldom must renew before it may judge.
    """

    def __init__(self, *, renew_interval_s: float, lease_s: float) -> None:
        """Name the interval and the lease of workers that do not say theirs."""
        self._missing_after_s = INTERVALS_MISSED_UNKNOWN * renew_interval_s
        self._lease_s = lease_s
        self._silences: dict[int, _Silence] = {}
        self._session: int | None = None
        self._has_broken = False
        self._patient_until_s = 0.0
        self._own_silent_s = 0.0
        self.has_doubts = False
        """Whether somebody else has been silent for long enough to doubt that it lives."""
        self.usual_interval_s = 0.0
        """How often to look: as often as the most frequent of the others renews."""

    def interrupt(self) -> None:
        """A look failed: what was seen before it counts no more."""
        self._session = None
        self._has_broken = True
        self.usual_interval_s = 0.0

    def doubted_ids(self, now_s: float) -> list[int]:
        """The workers whose session the next look shall ask for."""
        return [
            worker_id
            for worker_id, silence in self._silences.items()
            if now_s - silence.since_s >= silence.doubted_after_s
        ]

    def observe(self, look: Look, observer_id: int = 0) -> list[Gone]:
        """Take in what was seen by this worker (0: by nobody of them); return those that are gone."""
        self._notice_breaks(look)
        self._silences = {
            sighting.worker_id: self._silence_of(sighting, look) for sighting in look.sightings
        }
        self.usual_interval_s = min(
            (_watched_every_s(found) for found in look.sightings if found.worker_id != observer_id),
            default=QUIET_S,
        )
        own = self._silences.get(observer_id)
        self._own_silent_s = 0.0 if own is None else own.silent_s
        self.has_doubts = any(
            silence.silent_s >= silence.doubted_after_s
            for worker_id, silence in self._silences.items()
            if worker_id != observer_id
        )
        if own is not None and own.silent_s >= own.missing_after_s:
            self._be_patient(look, FIRST_PATIENCE_S)
        return [
            Gone(sighting.worker_id, sighting.last_seen, sessionless=reason == "sessionless")
            for sighting in look.sightings
            if (reason := self._why_gone(sighting, look)) is not None
        ]

    def next_look_in_s(self, now_s: float) -> float | None:
        """Return after how many seconds it is worth to look again; None: no sooner than usual.

        Who renews as seldom as we look anyway has no jobs that wait for us.
        """
        moments = [
            moment_s
            for silence in self._silences.values()
            if silence.silent_s > 0 and silence.missing_after_s < QUIET_S
            for moment_s in self._moments_s(silence)
            if moment_s > now_s
        ]
        return max(LOOK_AGAIN_S, min(moments) - now_s) if moments else None

    def _notice_breaks(self, look: Look) -> None:
        was_slow = look.answered_s - look.asked_s > SLOW_LOOK_S
        if look.session == self._session and not was_slow:
            return
        is_first = self._session is None and not self._has_broken and not was_slow
        self._be_patient(look, FIRST_PATIENCE_S if is_first else PATIENCE_S)
        self._session = look.session
        self._silences.clear()

    def _be_patient(self, look: Look, for_s: float) -> None:
        self._patient_until_s = max(self._patient_until_s, look.answered_s + for_s)

    def _silence_of(self, sighting: Sighting, look: Look) -> _Silence:
        known = self._silences.get(sighting.worker_id)
        if known is None or known.last_seen != sighting.last_seen:
            return _Silence(
                sighting.last_seen,
                since_s=look.answered_s,
                missing_after_s=self._missing_after(sighting.renew_interval_s),
                lease_s=self._lease_s if sighting.lease_s is None else sighting.lease_s,
            )
        lockless_since_s = None
        if sighting.has_session is False:
            is_new = known.lockless_since_s is None
            lockless_since_s = look.answered_s if is_new else known.lockless_since_s
        # From the answer of the first look to the question of this one: it was silent all that time.
        return replace(
            known, silent_s=look.asked_s - known.since_s, lockless_since_s=lockless_since_s
        )

    def _missing_after(self, renew_interval_s: float | None) -> float:
        if renew_interval_s is None:
            return self._missing_after_s
        return max(INTERVALS_MISSED * renew_interval_s, renew_interval_s + SPARE_S_MIN)

    def _why_gone(self, sighting: Sighting, look: Look) -> str | None:
        if sighting.has_ended:
            return "ended"
        if look.asked_s < self._patient_until_s or 0 <= sighting.server_age_s < PATIENCE_S:
            return None
        silence = self._silences[sighting.worker_id]
        if silence.silent_s >= silence.lease_s:
            return "silent"
        if sighting.is_expired and silence.silent_s >= max(
            silence.missing_after_s, min(EXPIRED_S_MIN, silence.lease_s)
        ):
            return "expired"
        if (
            silence.silent_s >= silence.missing_after_s > self._own_silent_s
            and silence.lockless_since_s is not None
            and look.asked_s - silence.lockless_since_s >= LOCKLESS_S_MIN
        ):
            return "sessionless"
        return None

    def _moments_s(self, silence: _Silence) -> list[float]:
        """When the silence becomes a doubt, an end by a missing session, or one by the lease."""
        missing_s = max(silence.since_s + silence.missing_after_s, self._patient_until_s)
        if silence.lockless_since_s is not None:
            missing_s = max(missing_s, silence.lockless_since_s + LOCKLESS_S_MIN)
        return [
            silence.since_s + silence.doubted_after_s,
            missing_s,
            max(silence.since_s + silence.lease_s, self._patient_until_s),
        ]


def _watched_every_s(sighting: Sighting) -> float:
    """How often to look at that worker. Who has ended, or does not say how often it renews: always."""
    if sighting.has_ended or sighting.renew_interval_s is None:
        return 0.0
    return min(sighting.renew_interval_s, QUIET_S)
