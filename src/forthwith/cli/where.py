"""Conditions on jobs in words: `queue=mail state=failed error=SMTPError ended=1h`. Pure."""

from __future__ import annotations

import difflib
import shlex
from typing import TYPE_CHECKING, Any

import click

from forthwith.cli.parameters import past

if TYPE_CHECKING:
    from collections.abc import Callable

    from forthwith.operations import JobFilter


def _worker_id(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise click.BadParameter(f"{text!r} is not a worker's id; `forthwith workers` lists them")
    return int(text)


# What a condition is called: the filter's name for it, and how its value is read.
KEYS: dict[str, tuple[str, Callable[[str], Any]]] = {
    "state": ("status", str),
    "queue": ("queue", str),
    "task": ("task", str),
    "lock": ("lock", str),
    "worker": ("worker_id", _worker_id),
    "since": ("deferred_after", past),
    "until": ("deferred_before", past),
    "ended": ("ended_after", past),
    "text": ("text", str),
    "error": ("error", str),
}
_ALL_KEYS = ", ".join(KEYS)


def where(text: str) -> JobFilter:
    """Return the filter that `text` describes: pairs of a key and a value, all of which must hold.

    Values with spaces are quoted as in a shell: `error="Some Error"`. Raises click.BadParameter, which
    names the condition that is wrong.
    """
    conditions: dict[str, str] = {}
    for word in _words(text):
        key, value = _pair(word)
        if key in conditions:
            raise click.BadParameter(f"{key} is there twice")
        conditions[key] = value
    if not conditions:
        raise click.BadParameter(f"names no condition; there are {_ALL_KEYS}")
    return job_filter(conditions)


def job_filter(conditions: dict[str, str]) -> JobFilter:
    """Return the filter of these conditions, by the keys of `KEYS`. Raises click.BadParameter."""
    from forthwith.errors import InvalidArgument
    from forthwith.operations import JobFilter

    names = {name: key for key, (name, _) in KEYS.items()}
    try:
        return JobFilter(**{KEYS[key][0]: _read(key, text) for key, text in conditions.items()})
    except InvalidArgument as error:
        problem = str(error).replace(error.argument, names.get(error.argument, error.argument), 1)
        raise click.BadParameter(problem) from None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise click.BadParameter(f"a quote is not closed ({error}): {text!r}") from None


def _pair(word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not equals:
        raise click.BadParameter(f"{word!r} is not KEY=VALUE; the keys are {_ALL_KEYS}")
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise click.BadParameter(f"there is no key {key!r}; {hint}The keys are {_ALL_KEYS}")
    if not value:
        raise click.BadParameter(f"{key} has no value: write {key}=VALUE")
    return key, value


def _read(key: str, text: str) -> Any:
    try:
        return KEYS[key][1](text)
    except click.BadParameter as error:
        raise click.BadParameter(f"{key}: {error.message}") from None
