"""What a task returns, turned into the JSON that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forthwith.arguments import serialize
from forthwith.errors import ArgumentsNotSerializable, ArgumentsTooLarge, ResultNotStorable

if TYPE_CHECKING:
    from forthwith.arguments import Dumps

RESULT_BYTES_MAX = 1024 * 1024
_WRAPPED = "result"
_AROUND = len('{"":}') + len(_WRAPPED)


def serialize_result(task: str, value: object, dumps: Dumps | None) -> str:
    """Return what `task` returned as JSON text that PostgreSQL's `jsonb` takes.

    The rules are those of a job's arguments. Raises `ResultNotStorable`, which names the task and the
    path of what is wrong.
    """
    wrapped: dict[str, Any] = {_WRAPPED: value}
    try:
        text = serialize(wrapped, bytes_max=RESULT_BYTES_MAX + _AROUND, dumps=dumps)
    except ArgumentsTooLarge:
        raise ResultNotStorable(
            f"{task}: its result takes more than {RESULT_BYTES_MAX} bytes as JSON; store the data "
            "elsewhere and return a reference to it, or do without keep_result"
        ) from None
    except ArgumentsNotSerializable as error:
        raise ResultNotStorable(
            f"{task}: its result cannot be kept: {error}; return something else, or do without "
            "keep_result"
        ) from error
    return text.strip().removeprefix("{").removesuffix("}").partition(":")[2]
