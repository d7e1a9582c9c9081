"""`forthwith grant`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.roles import roles_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.command_line import CommandLine
    from tests.support.roles import Roles


@pytest.fixture
def roles(database_url: str) -> Iterator[Roles]:
    """Roles of the test's database."""
    yield from roles_of(database_url)


def test_role_defers_after_the_grant_and_not_before(
    forthwith_cli: CommandLine, roles: Roles
) -> None:
    role = roles.create()
    as_role = {"FORTHWITH_DATABASE_URL": roles.url(role)}
    refused = forthwith_cli.run("defer", "--unknown", "work", **as_role)
    assert refused.code == 1
    assert "forthwith grant --defer ROLE" in refused.stderr

    granted = forthwith_cli.run("grant", "--defer", role, "--work", role)
    assert granted.stdout.splitlines() == [f"{role} may defer jobs", f"{role} may work"]

    assert forthwith_cli.run("defer", "--unknown", "work", **as_role).code == 0


def test_print_shows_the_sql_and_grants_nothing(plain: CommandLine) -> None:
    ran = plain.run("grant", "--defer", "web", "--print")
    assert ran.code == 0
    names = ("defer", "defer_alike", "wake", "note_traces")
    functions = ", ".join(f'"forthwith".{name}' for name in names)
    assert f'grant execute on function {functions} to "web";' in ran.stdout


def test_json_names_the_roles(forthwith_cli: CommandLine, roles: Roles) -> None:
    role = roles.create()
    ran = forthwith_cli.run("grant", "--work", role, "--json")
    assert ran.document() == {"defer": [], "work": [role]}


@pytest.mark.parametrize(
    "arguments", [[], ["--defer", "web", "--print", "--json"], ["--defer", "no-such-role"]]
)
def test_what_cannot_be_granted_is_a_usage_error(
    forthwith_cli: CommandLine, arguments: list[str]
) -> None:
    ran = forthwith_cli.run("grant", *arguments)
    assert ran.code == 2
    assert ran.stderr
