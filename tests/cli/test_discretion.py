"""The command line's log has no arguments, at any level and in any format."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine

SECRET = "correct-horse-battery-staple"  # noqa: S105


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_worker_logs_no_arguments(forthwith_cli: CommandLine, log_format: str) -> None:
    secret = json.dumps({"to": "ada", "card": SECRET})
    for task in ("send", "break", "unknown"):
        ran = forthwith_cli.run("defer", "--unknown", task, "-", "--queue", "mail", given=secret)
        assert ran.code == 0
        assert SECRET not in ran.stdout + ran.stderr
    arguments = ["--one-shot", "--log-level", "debug", "--log-format", log_format]
    ran = forthwith_cli.run("--app", "shop:app", "worker", *arguments)
    assert ran.code == 0
    assert "(break) failed" in ran.stderr
    assert "TaskNotFound" in ran.stderr
    assert SECRET not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    "options", [["jobs"], ["jobs", "--json"], ["job", "1"], ["job", "1", "--json"]]
)
def test_secrets_in_arguments_are_shown_on_request_alone(
    forthwith_cli: CommandLine, options: list[str]
) -> None:
    given = json.dumps({"to": "ada", "deep": [{"card": SECRET}]})
    assert forthwith_cli.run("defer", "--unknown", "t", "-", given=given).stdout == "1\n"
    hidden = forthwith_cli.run(*options)
    assert hidden.code == 0
    assert "ada" in hidden.stdout
    assert SECRET not in hidden.stdout + hidden.stderr
    assert SECRET in forthwith_cli.run(*options, "--show-arguments", COLUMNS="200").stdout


@pytest.mark.parametrize("options", [["job", "1"], ["job", "1", "--json"], ["top"]])
def test_passwords_in_errors_are_not_shown(forthwith_cli: CommandLine, options: list[str]) -> None:
    given = json.dumps({"message": f"no way to postgresql://ada:{SECRET}@db/shop"})
    forthwith_cli.run("defer", "--unknown", "break", "-", "--queue", "mail", given=given)
    forthwith_cli.run("--app", "shop:app", "worker", "--one-shot", "--log-level", "critical")
    ran = forthwith_cli.run(*options, COLUMNS="300")
    assert ran.code == 0
    assert "no way to postgresql://ada:***@db" in ran.stdout
    assert SECRET not in ran.stdout + ran.stderr
