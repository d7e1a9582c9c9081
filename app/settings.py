"""The relay's settings, from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything an operator may change. `RELAY_HTTP_TIMEOUT_S=5` sets `http_timeout_s`.

    The database is not here: forthwith itself reads `FORTHWITH_DATABASE_URL`.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    #: The file of those who may log in to the dashboard, see docs/how-to/dashboard.md. Without one it is
    #: there for everybody on this machine, if `host` is a name of this machine alone.
    dashboard_users: str = ""
    #: Run a worker inside the service's process.
    run_worker: bool = False
    #: Jobs at once in that worker.
    worker_concurrency: int = 100
    #: How long a webhook's receiver may take to answer.
    http_timeout_s: float = 10.0
    #: How often one event is tried, and the waits in between: base, 2·base, 4·base … up to max.
    delivery_attempts_max: int = 12
    backoff_base_s: float = 2.0
    backoff_max_s: float = 300.0
    #: How long finished jobs and cached resources are kept.
    history_hours: int = 168
    cache_hours: int = 24

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Settings:
        """Read the `RELAY_…` variables; a value that does not parse is a ValueError naming it."""
        environment = os.environ if environment is None else environment
        values = {
            field.name: _parsed(variable, environment[variable], type(field.default))
            for field in fields(cls)
            if (variable := f"RELAY_{field.name.upper()}") in environment
        }
        return cls(**values)  # type: ignore[arg-type]  # each value has its field's type


def _parsed(variable: str, text: str, kind: type) -> str | int | float | bool:
    """Return `text` as a value of `kind`, one of the four types that settings have."""
    try:
        return _flag(text) if kind is bool else kind(text)
    except ValueError:
        raise ValueError(f"{variable}: {text!r} is not a valid {kind.__name__}") from None


def _flag(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


#: This process's settings, read once.
settings = Settings.from_environment()
