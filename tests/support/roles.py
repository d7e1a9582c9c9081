"""Database roles for tests: made, granted and dropped again."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from forthwith.store.grants import grant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from forthwith.store.grants import Right

PASSWORD = "not-so-secret"  # noqa: S105
_NUMBERS = count(1)


class Roles:
    """Roles of one database's server. Their names are those of the database and a number."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._database = str(conninfo_to_dict(database_url)["dbname"])
        self._names: list[str] = []

    def create(self, kind: str = "role") -> str:
        """Make a role that may log in, and nothing else; return its name."""
        name = f"{self._database}_{kind}_{next(_NUMBERS)}"
        self._run("create role {} login password {}", sql.Identifier(name), sql.Literal(PASSWORD))
        self._names.append(name)
        return name

    async def create_granted(self, right: Right) -> str:
        """Make a role, grant it what `forthwith grant` grants, and return its name."""
        name = self.create(right)
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as owner:
            await grant(owner, [(right, name)])
        return name

    def url(self, name: str) -> str:
        """Return the database's connection string for a role."""
        return make_conninfo(self._url, user=name, password=PASSWORD)

    def drop(self) -> None:
        """Drop them all, with what they own in this database."""
        for name in self._names:
            self._run("drop owned by {} cascade", sql.Identifier(name))
            self._run("drop role {}", sql.Identifier(name))

    def _run(self, statement: str, *parts: sql.Composable) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(*parts))


def roles_of(database_url: str) -> Iterator[Roles]:
    """Yield the roles of a database, for a fixture."""
    roles = Roles(database_url)
    yield roles
    roles.drop()


async def column(
    connection: psycopg.AsyncConnection[Any], query: str, *parameters: Any
) -> list[Any]:
    """Return the first column of a query."""
    cursor = await connection.execute(query.encode(), parameters)
    return [row[0] for row in await cursor.fetchall()]
