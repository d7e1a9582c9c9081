"""A job's arguments: checked at the call, and turned into JSON text.

Everything here is pure. What is wrong raises an `InvalidArgument` that gives the path of the value.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from forthwith.errors import ArgumentsNotSerializable, ArgumentsTooLarge
from forthwith.options import is_a, kind, text_problem

__all__ = [
    "ARRAY_CHARACTERS_MAX",
    "DEPTH_MAX",
    "Dumps",
    "check_keywords",
    "serialize",
    "serialize_all",
]

Dumps: TypeAlias = Callable[[Any], str | bytes]
"""A JSON encoder, such as `json.dumps` or `orjson.dumps`."""

DEPTH_MAX = 200
"""How deep arguments may nest: far below where Python's and PostgreSQL's parsers give up."""

ARRAY_CHARACTERS_MAX = 2**25
"""How long the JSON of a whole batch may be: an eighth of what PostgreSQL allows in one value."""

_PART_SIZE = 500

DECIMAL_PLACES_MAX = 16383
"""How many PostgreSQL's numbers have at most."""

_SHOWN_MAX = 40
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
_STRING_OR_LARGE_FLOAT = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9.]+[eE]\+?[0-9]+')


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


def serialize_all(
    common: Mapping[str, Any],
    batch: Sequence[Mapping[str, Any]],
    *,
    bytes_max: int,
    dumps: Dumps | None = None,
) -> str | None:
    """Return the arguments of several jobs as one JSON array, an object with the `common` ones each.

    None if that would be too long for one value of PostgreSQL's. Limits and errors are those of
    `serialize`, for each job.
    """
    parts = [
        _serialize_part(common, batch[first : first + _PART_SIZE], bytes_max, dumps)
        for first in range(0, len(batch), _PART_SIZE)
    ]
    text = f"[{','.join(parts)}]"
    return text if len(text) <= ARRAY_CHARACTERS_MAX else None


def _serialize_part(
    common: Mapping[str, Any],
    batch: Sequence[Mapping[str, Any]],
    bytes_max: int,
    dumps: Dumps | None,
) -> str:
    each = [{**common, **arguments} for arguments in batch] if common else batch
    text = None if dumps is not None else _encoded_together(each, bytes_max)
    if text is not None:
        return text
    return ",".join([serialize(arguments, bytes_max=bytes_max, dumps=dumps) for arguments in each])


def _encoded_together(each: Sequence[Mapping[str, Any]], bytes_max: int) -> str | None:
    """Encode many in one call, if they are plain and short; else None: look at each."""
    try:
        text = _encode(each)
        size = len(text) if text.isascii() else len(text.encode())
    except Exception:
        return None
    if size > bytes_max or "\\u" in text or "e+" in text or text.count("[") >= DEPTH_MAX:
        return None
    # One brace more, and there is an object in the arguments, whose keys the encoder turns to strings.
    return text[1:-1] if text.count("{") == len(each) else None


def _standard(arguments: Mapping[str, Any]) -> str:
    """Encode with the standard library; walk the values only to explain, or when in doubt."""
    check_keywords("task_kwargs", arguments)
    try:
        text = _encode(arguments if isinstance(arguments, dict) else dict(arguments))
        text.isascii() or text.encode()  # a lone surrogate fails here
    except Exception as error:  # the values may be of anybody's classes, and raise anything
        _explain(arguments)
        raise ArgumentsNotSerializable(
            "task_kwargs", f"cannot be encoded: {_why(error)}"
        ) from error
    if text.find("{", 1) != -1:  # the encoder turns keys like 1 into "1" in nested objects
        _explain(arguments)
    if _is_doubtful(text):
        _explain(arguments)
        _explain(_parsed(text))  # what was encoded, should the values tell something else now
    return _with_floats_kept(text) if "e+" in text else text


def _explain(arguments: Mapping[str, Any]) -> None:
    """Raise for the first value that cannot be stored, by its path."""
    try:
        _check_members(arguments)
    except ArgumentsNotSerializable:
        raise
    except Exception as error:
        raise ArgumentsNotSerializable("task_kwargs", f"cannot be read: {_why(error)}") from error


def _parsed(text: str) -> dict[str, Any]:
    try:
        value: dict[str, Any] = json.loads(text)
    except RecursionError as error:
        raise ArgumentsNotSerializable("task_kwargs", "are nested too deep") from error
    return value


def _is_doubtful(text: str) -> bool:
    """Say whether the text may hold what the encoder lets through and `jsonb` does not take."""
    depth_bound = text.count("[") + text.count("{")  # those in strings count too: it is a bound
    return "\\u0000" in text or depth_bound >= DEPTH_MAX


def _with_floats_kept(text: str) -> str:
    """Write floats like 1e+16 out: `jsonb` would give them back as the integer of those digits."""
    return _STRING_OR_LARGE_FLOAT.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    found = match[0]
    if found.startswith('"'):
        return found
    digits = f"{Decimal(found):f}"
    return digits if "." in digits else f"{digits}.0"


def _why(error: Exception) -> str:
    try:
        return str.__str__(str(error))
    except Exception:
        return kind(error)


def _custom(arguments: Mapping[str, Any], dumps: Dumps) -> str:
    """Encode with a user's encoder, and trust it no further than what it returned."""
    check_keywords("task_kwargs", arguments)
    try:
        encoded = dumps(arguments)
        text = encoded if isinstance(encoded, str) else encoded.decode()
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_parse_float)
    except Exception as error:
        raise ArgumentsNotSerializable(
            "task_kwargs", f"the app's JSON encoder cannot encode them: {_why(error)}"
        ) from error
    if not isinstance(value, dict):
        raise ArgumentsNotSerializable(
            "task_kwargs", "the app's JSON encoder must turn them into a JSON object"
        )
    _check_members(value)
    return _with_floats_kept(str.__str__(text))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not valid JSON")


def _parse_float(text: str) -> float:
    exponent = Decimal(text).as_tuple().exponent
    if not isinstance(exponent, int) or -exponent > DECIMAL_PLACES_MAX:
        raise ValueError(f"a number has more than {DECIMAL_PLACES_MAX} decimal places")
    return float(text)


def check_keywords(argument: str, arguments: object) -> None:
    """Raise `ArgumentsNotSerializable` unless `arguments` map names to values."""
    if not isinstance(arguments, Mapping):
        raise ArgumentsNotSerializable(
            argument, f"must be a dict of argument names to values, not {kind(arguments)}"
        )
    try:
        names = list(arguments)
    except Exception as error:
        raise ArgumentsNotSerializable(argument, f"cannot be read: {_why(error)}") from error
    for name in names:
        if not is_a(name, str):
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
    if is_a(value, str):
        _check_text(path, value)
    elif is_a(value, dict) or is_a(value, list) or is_a(value, tuple):
        _check_container(path, value, ancestors)
    elif is_a(value, float):
        if not math.isfinite(value):
            raise ArgumentsNotSerializable(path, "must be a finite number, not NaN or infinite")
    elif is_a(value, int):
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
    if is_a(value, dict):
        for key, member in value.items():
            if not is_a(key, str):
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
