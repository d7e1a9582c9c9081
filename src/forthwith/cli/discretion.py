"""Hides secrets in what commands show of jobs' arguments and results, unless they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable

show_arguments_option = click.option(
    "--show-arguments",
    is_flag=True,
    help="Hide nothing: show values named password, token, card and so on, too.",
)


def discreet(value: Any, *, show: bool) -> Any:
    """Return a JSON value with what is kept under the name of a secret hidden, unless to `show`."""
    return value if show else _redacted()(value)


def _redacted() -> Callable[[Any], Any]:
    from forthwith.web.redaction import redacted

    return redacted
