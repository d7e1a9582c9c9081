"""`forthwith defer` adds one job, and says which."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine


def job(cli: CommandLine, job_id: object) -> dict[str, Any]:
    found: dict[str, Any] = cli.run("jobs", job_id, "--json").document()
    return found


def test_the_jobs_id_is_all_that_is_written(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("--app", "shop:app", "defer", "send", '{"to": "ada"}')
    assert (ran.code, ran.stderr) == (0, "")
    found = job(forthwith_cli, int(ran.stdout))
    assert found["task_name"] == "send"
    assert found["queue"] == "mail"
    assert found["task_kwargs"] == {"to": "ada"}
    assert found["status"] == "todo"


def test_options_reach_the_job(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run(
        *["--app", "shop:app", "defer", "send", '{"to": "ada"}', "--queue", "slow"],
        *["--lock", "L", "--queueing-lock", "Q", "--priority", "-5"],
        *["--at", "2100-01-01T01:00:00+01:00", "--json"],
    )
    document = ran.document()
    assert document["already_enqueued"] is False
    found = job(forthwith_cli, document["id"])
    assert found["queue"] == "slow"
    assert found["lock"] == "L"
    assert found["queueing_lock"] == "Q"
    assert found["priority"] == -5
    assert found["scheduled_at"] == "2100-01-01T00:00:00Z"


def test_a_wait_counts_from_now(forthwith_cli: CommandLine) -> None:
    before = datetime.now(UTC)
    ran = forthwith_cli.run("defer", "--unknown", "later", "--in", "2h")
    due = datetime.fromisoformat(job(forthwith_cli, ran.stdout.strip())["scheduled_at"])
    assert before <= due - timedelta(hours=2) <= datetime.now(UTC)


def test_arguments_are_read_from_standard_input(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("defer", "--unknown", "t", "-", given='{"name": 1, "queue": "x"}')
    assert job(forthwith_cli, ran.stdout.strip())["task_kwargs"] == {"name": 1, "queue": "x"}


def test_an_unknown_task_exits_with_1_and_suggests_another(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("--app", "shop:app", "defer", "sned")
    assert ran.code == 1
    assert "did you mean send?" in ran.stderr
    assert forthwith_cli.run("jobs", "--json").document()["jobs"] == []


def test_an_unknown_task_is_accepted_on_request(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("--app", "shop:app", "defer", "elsewhere", "--unknown")
    assert job(forthwith_cli, ran.stdout.strip())["task_name"] == "elsewhere"


@pytest.mark.parametrize("as_json", [False, True])
def test_a_job_that_waits_already_exits_with_1_unless_ignored(
    forthwith_cli: CommandLine, *, as_json: bool
) -> None:
    arguments = [
        "defer",
        "--unknown",
        "t",
        "--queueing-lock",
        "Q",
        *(["--json"] if as_json else []),
    ]
    assert forthwith_cli.run(*arguments).code == 0
    refused = forthwith_cli.run(*arguments)
    assert refused.code == 1
    assert refused.stdout == ""
    ignored = forthwith_cli.run(*arguments, "-i")
    assert ignored.code == 0
    if as_json:
        assert ignored.document() == {"id": None, "already_enqueued": True}
    else:
        assert ignored.stdout == ""
