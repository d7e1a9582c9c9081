"""The table `effect`, in which the tasks of worker processes leave evidence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.rows import class_row

if TYPE_CHECKING:
    import datetime

    import psycopg

    import forthwith

CREATE = """
create table effect (
    id bigint generated always as identity,
    at timestamptz not null default clock_timestamp(),
    kind text not null,
    key text not null,
    job_id bigint not null,
    pid integer not null
);
create table counter (value integer not null);
insert into counter values (0)
"""
RECORD = """
insert into effect (kind, key, job_id, pid) values (%(kind)s, %(key)s, %(job_id)s, %(pid)s)
"""
COUNT = "select count(*) from effect where job_id = %(job_id)s and kind = %(kind)s"


class Effect(NamedTuple):
    """Something that a task did: when (the database's clock), for which job, in which process."""

    id: int
    at: datetime.datetime
    kind: str
    key: str
    job_id: int
    pid: int


class Effects:
    """What the tasks of worker processes did to one database, in order."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection

    async def create(self) -> Effects:
        """Create the tables."""
        await self._connection.execute(CREATE)
        return self

    async def all(self, kind: str) -> list[Effect]:
        """Return the effects of one kind."""
        async with self._connection.cursor(row_factory=class_row(Effect)) as cursor:
            await cursor.execute("select * from effect where kind = %s order by id", [kind])
            return await cursor.fetchall()

    async def counter(self) -> int:
        """Return the counter's value."""
        [(value,)] = await (await self._connection.execute("select value from counter")).fetchall()
        return int(value)


def in_process(app: forthwith.App, task: str, **options: Any) -> Any:
    """Return what defers jobs of a task that only worker processes have."""
    return app.configure_task(task, allow_unknown=True, **options)
