"""The SQL files, by name and for another schema."""

from __future__ import annotations

import re

import pytest

from forthwith.errors import InvalidArgument
from forthwith.store.migrate import migrations
from forthwith.store.statements import channel_of, check_schema_name, in_schema, statements


def test_every_statement_begins_with_what_it_does() -> None:
    for name, text in statements().items():
        assert re.match(rb"-- [A-Z].*", text), name


def test_statements_of_another_schema_name_no_other() -> None:
    assert statements("jobs_a").keys() == statements().keys()
    for name, text in statements("jobs_a").items():
        code = re.sub(rb"--.*", b"", text)
        assert b"forthwith" not in code, name


def test_migrations_for_another_schema_name_no_other() -> None:
    for migration in migrations():
        code = re.sub(r"--.*", "", in_schema(migration.text, "jobs_a"))
        assert "forthwith" not in code


def test_default_schema_is_left_as_it_is_written() -> None:
    assert in_schema("select from forthwith.job", "forthwith") == "select from forthwith.job"


def test_reserved_word_is_quoted() -> None:
    assert in_schema("select 'forthwith', 'forthwith.job'::regclass", "select") == (
        "select 'select', '\"select\".job'::regclass"
    )


@pytest.mark.parametrize("name", ["forthwith", "jobs_a", "_x", "a" * 40, "select"])
def test_good_schema_names(name: str) -> None:
    assert check_schema_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "Jobs", "1a", "a-b", "a" * 41, "a\n", 'a"; drop table x', "ä", None, 5, b"jobs"]
)
def test_bad_schema_names(name: object) -> None:
    with pytest.raises(InvalidArgument, match="schema"):
        check_schema_name(name)


def test_each_schema_has_a_channel_of_its_own() -> None:
    assert channel_of("forthwith") == "forthwith_wake"
    assert channel_of("a") != channel_of("forthwith")


def test_migrations_are_numbered_without_gaps() -> None:
    numbers = [int(migration.name.split("_")[0]) for migration in migrations()]
    assert numbers == list(range(1, len(numbers) + 1))


def test_checksum_is_that_of_the_text() -> None:
    first = migrations()[0]
    assert len(first.checksum) == 64
    assert type(first)(first.name, first.text + " ").checksum != first.checksum
