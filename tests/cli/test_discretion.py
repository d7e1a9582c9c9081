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
    shown = forthwith_cli.run("jobs", "--json")
    assert SECRET in shown.stdout  # asked for
