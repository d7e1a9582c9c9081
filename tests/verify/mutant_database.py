"""Breaks functions of a lab's database, one text at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

MUTATIONS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "token_not_raised_at_rescue": (
        ("rescue_jobs", "lease_token = job.lease_token + 1", "lease_token = job.lease_token"),
    ),
    "crash_not_counted": (("rescue_jobs", "crashes = job.crashes + 1", "crashes = job.crashes"),),
    "locks_ignored": (
        ("defer", "when lock is not null then 'arrived'", "when false then 'arrived'"),
        ("defer_alike", "when lock is not null then 'arrived'", "when false then 'arrived'"),
    ),
    "order_of_a_line_ignored": (
        ("advance_lines", "order by -(job.priority::bigint), job.id", "order by job.id desc"),
    ),
    "queueing_lock_not_taken": (
        ("defer", "where queueing_lock is null or id in (select job_id from locked)", ""),
    ),
    "nobody_is_woken": (
        ("wake", "count(pg_notify('forthwith' || '_wake', 'queue:' || queue.name))", "count(*)"),
        ("defer", "where always_notify or exists", "where false and exists"),
        ("defer_alike", "if always_notify or exists", "if false and exists"),
    ),
}
"""By name: a function, a text in it, and what to put in the text's place."""
WITHOUT = {"locks_ignored": "drop index forthwith.job_line_head"}
"""What else has to go for the mutation to take effect."""

DEFINITION = """
    select pg_get_functiondef(pg_proc.oid) from pg_proc
    where pronamespace = 'forthwith'::regnamespace and proname = %s
    order by pronargs desc limit 1
"""


async def mutate(connection: psycopg.AsyncConnection[Any], name: str) -> None:
    """Break what the mutation of that name breaks."""
    for function, old, new in MUTATIONS[name]:
        [(definition,)] = await (await connection.execute(DEFINITION, [function])).fetchall()
        assert old in definition, f"{function} does not have {old!r}"
        await connection.execute(definition.replace(old, new).encode())
    if name in WITHOUT:
        await connection.execute(WITHOUT[name].encode())
