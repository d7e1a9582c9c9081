"""Traps in the schema `public`: look-alikes of PostgreSQL's names that raise when they are used.

An attacker who may create objects there waits for somebody whose search_path leads to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    import psycopg

SPRUNG = "a look-alike was used"
HOSTILE_PATH = 'pg_temp, public, "$user", pg_catalog'

FUNCTIONS = (
    ("clock_timestamp()", "timestamptz"),
    ("now()", "timestamptz"),
    ("statement_timestamp()", "timestamptz"),
    ("pg_notify(text, text)", "void"),
    ("hashtext(text)", "integer"),
    ("pg_advisory_xact_lock(bigint)", "void"),
    ("pg_try_advisory_xact_lock(integer, integer)", "boolean"),
    ("pg_try_advisory_lock(integer, integer)", "boolean"),
    (
        "make_interval(integer, integer, integer, integer, integer, integer, double precision)",
        "interval",
    ),
    ("to_regclass(text)", "regclass"),
    ("to_regnamespace(text)", "regnamespace"),
    ("to_char(timestamp, text)", "text"),
    ("to_date(text, text)", "date"),
    ("to_jsonb(forthwith.migration)", "jsonb"),
    ("current_setting(text)", "text"),
    ("set_config(text, text, boolean)", "text"),
    ("nextval(regclass)", "bigint"),
    ("char_length(text)", "integer"),
    ("ltrim(text)", "text"),
    ("starts_with(text, text)", "boolean"),
    ("unnest(text[])", "setof text"),
    ("unnest(bigint[])", "setof bigint"),
    ("cardinality(text[])", "integer"),
    ("pg_get_userbyid(oid)", "name"),
    ("pg_postmaster_start_time()", "timestamptz"),
    ("current_database()", "name"),
    ("aclexplode(aclitem[])", "setof record"),
    ("pg_has_role(oid, text)", "boolean"),
)
OPERATORS = ("=", "<>", "<", ">", "<=", ">=")
OPERANDS = (
    "bigint",
    "integer",
    "text",
    "timestamptz",
    "forthwith.job_state",
    "forthwith.job_status",
)
ADDITIONS = (("bigint", "bigint"), ("bigint", "integer"), ("integer", "integer"))
TYPES = ("text", "timestamptz", "float8", "jsonb", "oid", "regclass", "int4", "int8", "bool")
TABLES = ("job", "worker", "migration", "pg_class", "pg_proc", "pg_locks", "pg_inherits")


async def set_traps(
    connection: psycopg.AsyncConnection[Any], *, before_schema: bool = False
) -> None:
    """Create them all, and lead every new session of the database to them."""
    await connection.execute("set search_path = pg_catalog")
    fitting = [text for text in _traps() if not (before_schema and "forthwith." in text)]
    for text in fitting:
        await connection.execute(text.encode())
    cursor = await connection.execute("select current_database()::text")
    [(database,)] = await cursor.fetchall()
    await connection.execute(
        sql.SQL("alter database {} set search_path = " + HOSTILE_PATH).format(
            sql.Identifier(database)
        )
    )


def _traps() -> list[str]:
    return [
        *(_function(signature, returns) for signature, returns in FUNCTIONS),
        *(_operator(name, operand, operand) for name in OPERATORS for operand in OPERANDS),
        *(_operator("+", left, right) for left, right in ADDITIONS),
        *(f"create domain public.{name} as pg_catalog.{name} check (false)" for name in TYPES),
        *(f"create table public.{name} (trap integer)" for name in TABLES),
    ]


def _function(signature: str, returns: str) -> str:
    return (
        f"create function public.{signature} returns {returns} language plpgsql"
        f" as $$ begin raise exception '{SPRUNG}: {signature}'; end $$"
    )


def _operator(name: str, left: str, right: str) -> str:
    function = f"trap_{name.encode().hex()}_{left}_{right}".replace("forthwith.", "").replace(
        " ", ""
    )
    returns = "boolean" if name != "+" else left
    return (
        f"{_function(f'{function}({left}, {right})', returns)};"
        f"create operator public.{name} (leftarg = {left}, rightarg = {right},"
        f" function = public.{function})"
    )
