"""docs/reference/cli.md knows every command, option, exit code and JSON key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from forthwith.cli.documents import ATTEMPT_KEYS, LISTED_JOB_KEYS, WORKER_KEYS
from forthwith.cli.exit_code import ExitCode
from forthwith.cli.group import cli

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(__file__).parents[2] / "docs/reference/cli.md").read_text()
CONTEXT = click.Context(cli)


def commands() -> Iterator[tuple[str, click.Command]]:
    for name in cli.list_commands(CONTEXT):
        command = cli.get_command(CONTEXT, name)
        assert command is not None
        yield name, command


def options(command: click.Command) -> list[str]:
    """Return every way to write every option that the help shows."""
    shown = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    return [word for option in shown for word in (*option.opts, *option.secondary_opts)]


def section(title: str) -> str:
    """Return the part of the page under the heading that contains `title`."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/reference/cli.md has no heading `## {title}`"
    return found[1]


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_option_of_a_command_is_documented(name: str, command: click.Command) -> None:
    text = section(f"`forthwith {name}`")
    missing = [option for option in options(command) if not re.search(rf"`{option}[` ]", text)]
    assert not missing


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_documented_option_exists(name: str, command: click.Command) -> None:
    table = re.findall(r"^\| (`-.*?) \|", section(f"`forthwith {name}`"), re.MULTILINE)
    documented = {word for cell in table for word in re.findall(r"`(--?[a-z-]+)", cell)}
    assert documented <= set(options(command))


def test_common_options_are_documented() -> None:
    text = section("Common options")
    assert not [option for option in options(cli) if f"`{option}" not in text]


def test_exit_codes_are_documented_and_in_the_help() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)`", section("Exit codes"), re.MULTILINE)
    assert rows == [(str(code.value), code.name) for code in ExitCode]
    assert all(f"{code.value}  {code.meaning}" in cli.get_help(CONTEXT) for code in ExitCode)


def test_json_keys_of_jobs_attempts_and_workers_are_documented() -> None:
    jobs, status = section("`forthwith jobs`"), section("`forthwith status`")
    assert not [key for key in LISTED_JOB_KEYS if f"`{key}`" not in jobs]
    assert not [key for key in ATTEMPT_KEYS if f"`{key}`" not in section("`forthwith job`")]
    assert not [key for key in WORKER_KEYS if f"`{key}`" not in status]
