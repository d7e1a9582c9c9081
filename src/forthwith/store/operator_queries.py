"""The statements of operators: questions that change nothing, and deeds."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import dict_row, tuple_row

from forthwith.store.operator_pool import BEGIN_DEED, BEGIN_QUESTION
from forthwith.store.statements import DEFAULT_SCHEMA, statements

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from forthwith.store.operator_pool import OperatorPool

Row = dict[str, Any]


class Transaction:
    """One transaction of an operator's."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], schema: str) -> None:
        self.connection = connection
        self._statements = statements(schema)

    async def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        """Run a statement of `queries/`; return its rows.

        Never prepared: filters that are null would then get plans in which they could be anything.
        """
        async with psycopg.AsyncCursor(self.connection, row_factory=dict_row) as cursor:
            await cursor.execute(self._statements[name], parameters, prepare=False)
            return await cursor.fetchall() if cursor.description is not None else []

    async def row(self, name: str, /, **parameters: Any) -> Row:
        """As `rows`, of a statement that returns one row."""
        (row,) = await self.rows(name, **parameters)
        return row

    async def each(self, name: str, parameters: Sequence[Row]) -> list[tuple[Any, ...]]:
        """Run a statement once for each of these, in one go; return all their rows, as tuples."""
        found: list[tuple[Any, ...]] = []
        if not parameters:
            return found
        async with psycopg.AsyncCursor(self.connection, row_factory=tuple_row) as cursor:
            await cursor.executemany(self._statements[name], parameters, returning=True)
            async for result in cursor.results():
                found += await result.fetchall()
        return found

    async def set_local(self, settings: bytes) -> None:
        """Change settings until the end of the transaction."""
        await self.connection.execute(settings, prepare=False)


class OperatorQueries:
    """Questions and deeds on a pool."""

    def __init__(self, pool: OperatorPool, schema: str = DEFAULT_SCHEMA) -> None:
        self._pool = pool
        self.schema = schema

    @asynccontextmanager
    async def question(self) -> AsyncIterator[Transaction]:
        """Begin a transaction that can't change anything, and sees the same from beginning to end."""
        async with self._pool.transaction(BEGIN_QUESTION) as connection:
            yield Transaction(connection, self.schema)

    @asynccontextmanager
    async def deed(self) -> AsyncIterator[Transaction]:
        """Begin a transaction that may change something."""
        async with self._pool.transaction(BEGIN_DEED) as connection:
            yield Transaction(connection, self.schema)

    async def rows(self, name: str, /, **parameters: Any) -> list[Row]:
        """Ask one statement of `queries/`."""
        async with self.question() as question:
            return await question.rows(name, **parameters)
