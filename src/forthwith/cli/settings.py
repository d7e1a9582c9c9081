"""What every command may be told: the app, the database, and whether to show tracebacks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

_META_KEY = "forthwith.settings"

# Read by the error report, which runs after click has closed its context.
_debug = False


@dataclass(slots=True)
class Settings:
    """The common options as the user gave them; None where an option was not given."""

    app: str | None = None
    database: str | None = None
    debug: bool = False

    @property
    def app_path(self) -> str | None:
        """The app to load: `--app`, or else FORTHWITH_APP unless `--database` was given."""
        if self.app is not None or self.database is not None:
            return self.app
        return os.environ.get("FORTHWITH_APP") or None


def current_settings() -> Settings:
    """Return the settings of the running command."""
    return settings_of(click.get_current_context())


def settings_of(context: click.Context) -> Settings:
    """Return the settings of the command in whose context this is."""
    settings: Settings = context.meta.setdefault(_META_KEY, Settings())
    return settings


def debug_requested() -> bool:
    """Return whether `--debug` was given to the command that ran."""
    return _debug


def common_options(*, hidden: bool) -> list[click.Parameter]:
    """Return the options that may stand before or after a command's name.

    They are listed in the group's help; commands accept them `hidden`, for those who write
    `forthwith worker --app x`.
    """
    return [
        click.Option(
            ["--app"],
            metavar="MODULE:APP",
            help="The app to load, such as `pkg.module:app` (or FORTHWITH_APP).",
            expose_value=False,
            callback=_remember("app"),
            hidden=hidden,
        ),
        click.Option(
            ["--database"],
            metavar="URL",
            help="Work on this database without an app (or FORTHWITH_DATABASE_URL, or else the "
            "embedded PostgreSQL).",
            expose_value=False,
            callback=_remember("database"),
            hidden=hidden,
        ),
        click.Option(
            ["--debug"],
            is_flag=True,
            help="Show the traceback of an error.",
            expose_value=False,
            callback=_remember("debug"),
            hidden=hidden,
        ),
    ]


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def remember(_context: click.Context, _parameter: click.Parameter, value: Any) -> None:
        if value is None or value is False:
            return
        setattr(current_settings(), name, value)
        if name == "debug":
            global _debug
            _debug = True

    return remember
