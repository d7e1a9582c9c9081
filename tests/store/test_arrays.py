"""Array literals that we write ourselves: PostgreSQL reads what went in."""

from __future__ import annotations

import datetime
import math
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.store.arrays import array, written
from tests.store.virtual_worker import defer, new_job

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.AsyncConnection[Any]

TEXTS: list[list[str | None]] = [
    [],
    [""],
    ["a"],
    ["a", "a"],
    ["", ""],
    ["a", "", "b"],
    [None, None],
    [None, "a", "NULL", "null"],
    ["NULL", "null"],
    ["{", "}", ",", "{,}", " ", " a "],
    ['"', '""', '","', "\\", "\\\\", '\\"', 'a"b\\c'],
    ['"', None, "\\", ","],
    ["\n", "\t", "\x01", "é", "漢", "😀", "\u200b"],
    ['{"a": "b\\"c", "d": ["e\\\\", null]}', "{}"],
]


@pytest.mark.parametrize("values", TEXTS)
async def test_texts_arrive_as_they_were(values: list[str | None], connection: Connection) -> None:
    cursor = await connection.execute("select %(a)s::text[]", written({"a": values}))
    assert await cursor.fetchone() == (values,)


@pytest.mark.parametrize(
    "values", [[], [1], [1, 1], [1, -2, 2**63 - 1, -(2**63)], [None, 1], [None, None]]
)
async def test_integers_arrive_as_they_were(
    values: list[int | None], connection: Connection
) -> None:
    cursor = await connection.execute("select %(a)s::bigint[]", written({"a": values}))
    assert await cursor.fetchone() == (values,)


@pytest.mark.parametrize(
    "values", [[0.0], [0.5, 0.5], [1e-9, 2.4e11, 0.1 + 0.2, math.inf], [None, 1.5], [None, None]]
)
async def test_numbers_arrive_as_they_were(
    values: list[float | None], connection: Connection
) -> None:
    assert isinstance(array(values), str)
    cursor = await connection.execute("select %(a)s::float8[]", written({"a": values}))
    assert await cursor.fetchone() == (values,)


@pytest.mark.parametrize("values", [[True], [True, False], [False, None, True]])
async def test_booleans_arrive_as_they_were(
    values: list[bool | None], connection: Connection
) -> None:
    cursor = await connection.execute("select %(a)s::boolean[]", written({"a": values}))
    assert await cursor.fetchone() == (values,)


EAST = datetime.timezone(datetime.timedelta(hours=5, minutes=53, seconds=28))
MOMENT = datetime.datetime(2030, 1, 1, 12, 30, 59, 1, tzinfo=EAST)


@pytest.mark.parametrize(
    "values",
    [
        [MOMENT],
        [MOMENT, MOMENT],
        [None, MOMENT],
        [datetime.datetime(1, 1, 2, tzinfo=datetime.UTC), MOMENT],
        [datetime.datetime(9999, 12, 30, tzinfo=datetime.UTC)],
    ],
)
async def test_moments_arrive_as_they_were(
    values: list[datetime.datetime | None], connection: Connection
) -> None:
    cursor = await connection.execute("select %(a)s::timestamptz[]", written({"a": values}))
    assert await cursor.fetchone() == (values,)


def test_other_values_are_left_to_the_driver() -> None:
    for values in ([1, "a"], [1.5, "a"], [b"a"], [None, b"a"]):
        assert array(values) is values
    assert written({"a": 1, "b": "x", "c": None}) == {"a": 1, "b": "x", "c": None}


async def test_jobs_with_hostile_texts_are_stored_as_they_are(connection: Connection) -> None:
    hostile = ['{"a', "b\\", 'c",d', "NULL", "{}"]
    await defer(connection, *[new_job(queue=text, task=text, lock=text) for text in hostile])
    cursor = await connection.execute("select queue, task, lock from forthwith.job order by id")
    assert await cursor.fetchall() == [(text, text, text) for text in hostile]
