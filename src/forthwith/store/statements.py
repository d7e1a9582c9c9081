"""The SQL statements, one a file, found by name."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING

from psycopg import sql

from forthwith.errors import InvalidArgument

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_SCHEMA = "forthwith"
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,39}")


@cache
def statements(schema: str = DEFAULT_SCHEMA) -> Mapping[str, bytes]:
    """Return every statement of `queries/` by its file's name, for tables in that schema."""
    folder = resources.files("forthwith.store") / "queries"
    return MappingProxyType(
        {
            file.name.removesuffix(".sql"): in_schema(file.read_text("utf-8"), schema).encode()
            for file in folder.iterdir()
            if file.name.endswith(".sql")
        }
    )


def in_schema(text: str, schema: str) -> str:
    """Return SQL that was written for the schema `forthwith` as SQL for another.

    The files are plain SQL that psql takes as it stands; only the two ways in which they name the
    schema are replaced.
    """
    if schema == DEFAULT_SCHEMA:
        return text
    quoted = sql.Identifier(schema).as_string()
    return re.sub(r"\bforthwith\.(?=[a-z])", lambda _: f"{quoted}.", text).replace(
        "'forthwith'", sql.Literal(schema).as_string()
    )


def check_schema_name(schema: object) -> str:
    """Return the schema's name, or raise `InvalidArgument`."""
    if not isinstance(schema, str) or not _SCHEMA_NAME.fullmatch(schema):
        raise InvalidArgument(
            "schema", f"must be lower-case letters, digits and _, at most 40, not {schema!r}"
        )
    return schema


def channel_of(schema: str) -> str:
    """Return the name of the notification channel of a schema."""
    return f"{schema}_wake"


def done_channel_of(schema: str) -> str:
    """Return the channel on which the ends of jobs are told whose results are kept."""
    return f"{schema}_done"
