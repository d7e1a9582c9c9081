"""What a role must be granted to defer jobs, or to work: the schema belongs to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from psycopg import errors, sql
from psycopg.rows import tuple_row

from forthwith.errors import InvalidArgument, NotPermitted
from forthwith.store.statements import DEFAULT_SCHEMA, statements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

Right = Literal["defer", "work"]

# Deferring goes by functions with the owner's rights. The table is for the check of the schema's version.
_DEFER = """
grant usage on schema {schema} to {role};
grant select on {schema}.migration to {role};
grant execute on function {schema}.defer, {schema}.defer_alike, {schema}.wake, \
{schema}.note_traces to {role};
"""
_WORK = """
grant usage on schema {schema} to {role};
grant select on {schema}.migration to {role};
grant select, insert, update, delete on {schema}.job, {schema}.queueing_lock, {schema}.finished_job, \
{schema}.failed_attempt, {schema}.worker, {schema}.periodic_defer, {schema}.queue_pause, \
{schema}.result, {schema}.progress, {schema}.tally, {schema}.job_trace, {schema}.periodic_task to {role};
grant execute on all functions in schema {schema} to {role};
"""
_TEXTS: dict[Right, str] = {"defer": _DEFER, "work": _WORK}


def grant_statements(right: Right, role: str, schema: str = DEFAULT_SCHEMA) -> list[str]:
    """Return the SQL that lets a role defer, or work, one statement an item."""
    names = {"schema": _quoted(schema), "role": _quoted(role)}
    return [line.format(**names) for line in _TEXTS[right].strip().splitlines()]


async def grant(
    connection: psycopg.AsyncConnection[Any],
    rights: Sequence[tuple[Right, str]],
    schema: str = DEFAULT_SCHEMA,
) -> None:
    """Grant all of these rights to these roles, or none.

    Raises `InvalidArgument` for an unknown role, `NotPermitted` for one who does not own the schema.
    """
    async with connection.transaction():
        await _check_owner(connection, schema)
        for right, role in rights:
            try:
                for statement in grant_statements(right, role, schema):
                    await connection.execute(statement.encode())
            except errors.UndefinedObject as error:
                raise InvalidArgument(
                    right, f"there is no role {role!r}; make it first: create role … login"
                ) from error


async def granted(
    connection: psycopg.AsyncConnection[Any], schema: str = DEFAULT_SCHEMA
) -> list[tuple[Right, str]]:
    """Return which roles have been granted what."""
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statements(schema)["granted"])
        return [(right, role) for right, role in await cursor.fetchall()]


async def _check_owner(connection: psycopg.AsyncConnection[Any], schema: str) -> None:
    # PostgreSQL only warns where somebody has a right and may not pass it on.
    async with connection.cursor(row_factory=tuple_row) as cursor:
        await cursor.execute(statements(schema)["is_owner"])
        rows = await cursor.fetchall()
    if not rows[0][0]:
        raise NotPermitted("Only the owner of the schema can grant rights: run it as that role")


def told(defer: Sequence[str], work: Sequence[str]) -> Iterator[tuple[Right, str]]:
    """Yield the rights that are asked for, each with its role."""
    for role in defer:
        yield "defer", role
    for role in work:
        yield "work", role


def _quoted(name: str) -> str:
    if not name or "\0" in name:
        raise InvalidArgument("role", "must be a role's name")
    return sql.Identifier(name).as_string()
