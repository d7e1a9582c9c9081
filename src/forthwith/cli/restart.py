"""When a worker process ends: leave it at that, start another one, or give up."""

from __future__ import annotations

import signal
from typing import NamedTuple

from forthwith.cli.exit_code import ExitCode

# Starting again cannot help against these: the operator has to act first.
_HOPELESS = frozenset(
    {ExitCode.USAGE, ExitCode.APP_NOT_LOADED, ExitCode.SCHEMA_MISMATCH},
)
# A process that was told to stop before it listened to signals ends like this; nothing ran in it.
_STOPPED = frozenset({ExitCode.OK, ExitCode.INTERRUPTED, -signal.SIGTERM, -signal.SIGINT})

FIRST_DELAY_S = 0.5
DELAY_MAX_S = 30.0
HEALTHY_AFTER_S = 60.0


class Ended(NamedTuple):
    """How a worker process ended. `return_code` is negative for a signal, as in `subprocess`."""

    return_code: int
    lived_s: float
    stopping: bool
    one_shot: bool


class Decision(NamedTuple):
    """What follows. `restart_delay_s` is None where nothing is started again."""

    restart_delay_s: float | None
    failed: bool = False
    give_up: bool = False


def decide(ended: Ended, deaths: int) -> Decision:
    """Return what to do about a process that ended, after `deaths` quick ones in a row before it.

    A worker that was told to stop, or that had run all jobs of a one-shot, stays away. Any other
    end is not its own choice, so another one takes its place after a delay that doubles.
    """
    if ended.stopping:
        return Decision(None, failed=ended.return_code not in _STOPPED)
    if ended.one_shot and ended.return_code == ExitCode.OK:
        return Decision(None)
    if ended.return_code in _HOPELESS:
        return Decision(None, failed=True, give_up=True)
    return Decision(restart_delay_s(deaths))


def restart_delay_s(deaths: int) -> float:
    """Return the seconds to wait before the next start after `deaths` quick deaths in a row."""
    return float(min(DELAY_MAX_S, FIRST_DELAY_S * 2 ** min(deaths, 16)))


def describe_end(return_code: int) -> str:
    """Return how a process ended, in words."""
    if return_code >= 0:
        return f"exit code {return_code}"
    try:
        return f"killed by {signal.Signals(-return_code).name}"
    except ValueError:
        return f"killed by signal {-return_code}"
