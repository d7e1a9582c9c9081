"""A job's arguments: checked at the call, and turned into JSON text.

Everything here is pure. What is wrong raises an `InvalidArgument` that gives the path of the value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from forthwith.errors import ArgumentsNotSerializable, ArgumentsTooLarge
from forthwith.options import kind, text_problem

__all__ = ["DEPTH_MAX", "Dumps", "check_keywords", "serialize"]

Dumps: TypeAlias = Callable[[Any], str | bytes]
"""A JSON encoder, such as `json.dumps` or `orjson.dumps`."""

DEPTH_MAX = 200
"""How deep arguments may nest: far below where Python's and PostgreSQL's parsers give up."""

_SHOWN_MAX = 40
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def serialize(arguments: Mapping[str, Any], *, bytes_max: int, dumps: Dumps | None = None) -> str:
    """Return a job's arguments as JSON text that PostgreSQL's `jsonb` takes.

    `bytes_max` limits the text in UTF-8 bytes. `dumps` replaces the JSON encoder for values that
    the standard one does not know; what it returns is checked like the rest. Tuples become arrays.

    Raises `ArgumentsTooLarge`, or `ArgumentsNotSerializable` with the path of the offending value.
    """
    text = _standard(arguments) if dumps is None else _custom(arguments, dumps)
    size = len(text) if text.isascii() else len(text.encode())
    if size > bytes_max:
        raise ArgumentsTooLarge(
            "task_kwargs",
            f"the arguments take {size} bytes as JSON, and {bytes_max} are allowed; store the data "
            "elsewhere and pass a reference to it, or raise the app's arguments_bytes_max",
        )
    return text


def _standard(arguments: Mapping[str, Any]) -> str:
    """Encode with the standard library; walk the values only to explain, or when in doubt."""
    check_keywords("task_kwargs", arguments)
    try:
        text = _encode(arguments if isinstance(arguments, dict) else dict(arguments))
        text.isascii() or text.encode()  # a lone surrogate fails here
    except (TypeError, ValueError, RecursionError) as error:
        _check_members(arguments)
        raise ArgumentsNotSerializable("task_kwargs", f"cannot be encoded: {error}") from error
    if _is_doubtful(text):
        _check_members(arguments)
    return text


def _is_doubtful(text: str) -> bool:
    """Say whether the encoder may have let through what the text alone cannot show.

    It turns keys like 1 into "1" in nested objects, and escapes NUL characters.
    """
    return (
        text.find("{", 1) != -1
        or "\\u0000" in text
        or text.count("[") >= DEPTH_MAX  # brackets in strings count too: an upper bound is enough
    )


def _custom(arguments: Mapping[str, Any], dumps: Dumps) -> str:
    """Encode with a user's encoder, and trust it no further than what it returned."""
    check_keywords("task_kwargs", arguments)
    try:
        encoded = dumps(arguments)
        text = encoded if isinstance(encoded, str) else encoded.decode()
        value = json.loads(text, parse_constant=_refuse_constant)
    except (TypeError, ValueError, RecursionError, AttributeError) as error:
        raise ArgumentsNotSerializable(
            "task_kwargs", f"the app's JSON encoder cannot encode them: {error}"
        ) from error
    if not isinstance(value, dict):
        raise ArgumentsNotSerializable(
            "task_kwargs", "the app's JSON encoder must turn them into a JSON object"
        )
    _check_members(value)
    return text


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")


def check_keywords(argument: str, arguments: object) -> None:
    """Raise `ArgumentsNotSerializable` unless `arguments` map names to values."""
    if not isinstance(arguments, Mapping):
        raise ArgumentsNotSerializable(
            argument, f"must be a dict of argument names to values, not {kind(arguments)}"
        )
    for name in arguments:
        if not isinstance(name, str):
            raise ArgumentsNotSerializable(
                argument, f"argument names must be strings, not {kind(name)}"
            )


def _check_members(arguments: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        path = _step("task_kwargs", name).removeprefix("task_kwargs.")
        _check_text(path, name)
        _check_value(path, value, (id(arguments),))


def _check_value(path: str, value: object, ancestors: tuple[int, ...]) -> None:
    """Refuse what JSON or `jsonb` cannot hold. `ancestors` are the containers around the value."""
    if isinstance(value, str):
        _check_text(path, value)
    elif isinstance(value, dict | list | tuple):
        _check_container(path, value, ancestors)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ArgumentsNotSerializable(path, "must be a finite number, not NaN or infinite")
    elif isinstance(value, int):
        _check_integer(path, value)
    elif value is not None:
        raise ArgumentsNotSerializable(
            path,
            f"{kind(value)} cannot be stored as JSON; pass a string, a finite number, a boolean, "
            "None, or a list or dict of these",
        )


def _check_container(
    path: str, value: dict[Any, Any] | list[Any] | tuple[Any, ...], ancestors: tuple[int, ...]
) -> None:
    if id(value) in ancestors:
        raise ArgumentsNotSerializable(path, "contains itself, and JSON has no references")
    if len(ancestors) >= DEPTH_MAX:
        raise ArgumentsNotSerializable(
            _shortened(path), f"is nested more than {DEPTH_MAX} levels deep; pass a flatter value"
        )
    within = (*ancestors, id(value))
    if isinstance(value, dict):
        for key, member in value.items():
            if not isinstance(key, str):
                raise ArgumentsNotSerializable(
                    path, f"its keys must be strings, as in JSON, not {kind(key)}"
                )
            inner = _step(path, key)
            _check_text(inner, key)
            _check_value(inner, member, within)
    else:
        for index, member in enumerate(value):
            _check_value(f"{path}[{index}]", member, within)


def _check_integer(path: str, value: int) -> None:
    try:
        int.__repr__(value)
    except ValueError:  # Python refuses to write integers of more than 4300 digits
        raise ArgumentsNotSerializable(
            path, "has too many digits; pass such a number as a string"
        ) from None


def _check_text(path: str, value: str) -> None:
    problem = text_problem(value)
    if problem:
        raise ArgumentsNotSerializable(path, problem)


def _step(path: str, key: str) -> str:
    """Return the path of a member: `to.name`, or `to["full name"]`."""
    if key.isidentifier() and len(key) <= _SHOWN_MAX:
        return f"{path}.{key}"
    return f"{path}[{json.dumps(_shortened(key))}]"


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}…"
