"""`forthwith doctor` says what is wrong, and its exit code does too."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine, Ran
    from tests.cli.conftest import StartWorker


def codes(ran: Ran) -> dict[str, str]:
    """Return the severity of each finding, by its code."""
    findings: list[dict[str, Any]] = json.loads(ran.stdout)["findings"]
    return {finding["code"]: finding["severity"] for finding in findings}


def test_a_queue_without_workers_is_an_error(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    forthwith_cli.run("defer", "--unknown", "send", '{"to": "ada"}', "--queue", "mail")
    ran = forthwith_cli.run("doctor")
    assert ran.code == 1
    assert "error: No worker is running [no-worker]\n    1 job is due" in ran.stdout
    assert "`forthwith worker`" in ran.stdout
    as_json = forthwith_cli.run("doctor", "--json")
    assert as_json.code == 1
    assert codes(as_json)["no-worker"] == "error"
    assert json.loads(as_json.stdout)["ok"] is False
    start_worker()
    wait_until_sync(lambda: "no-worker" not in codes(forthwith_cli.run("doctor", "--json")))


def test_its_exit_code_is_that_of_the_worst(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("doctor", "--json")
    severities = set(codes(ran).values())
    assert ran.code == (1 if severities & {"error", "warning"} else 0)


def test_a_task_that_the_app_lacks_is_a_note(forthwith_cli: CommandLine) -> None:
    forthwith_cli.run("defer", "--unknown", "strange")
    with_app = forthwith_cli.run("--app", "shop:app", "doctor", "--json")
    assert codes(with_app)["not-in-app"] == "note"
    assert "strange" in with_app.stdout
    assert "not-in-app" not in codes(forthwith_cli.run("doctor", "--json"))
    forthwith_cli.run("cancel", "1")
    gone = forthwith_cli.run("--app", "shop:app", "doctor", "--json")
    assert "not-in-app" not in codes(gone)


def test_a_database_that_is_away_is_named(plain: CommandLine) -> None:
    ran = plain.run("doctor", "--json")
    assert ran.code == 4
    assert codes(ran) == {"database-unavailable": "error"}
    words = plain.run("doctor")
    assert words.code == 4
    assert "[database-unavailable]" in words.stdout
    assert "secret-password" not in ran.stdout + ran.stderr + words.stdout + words.stderr


def test_a_missing_schema_is_named(empty_cli: CommandLine) -> None:
    ran = empty_cli.run("doctor")
    assert ran.code == 5
    assert "[schema-mismatch]" in ran.stdout
    assert "forthwith migrate" in ran.stdout
