"""`forthwith cancel` and `forthwith retry` say what became of each job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine
    from tests.cli.conftest import StartWorker


def defer(cli: CommandLine, task: str = "t", *options: str) -> int:
    return int(cli.run("defer", "--unknown", task, *options).stdout)


def fail_a_job(cli: CommandLine) -> int:
    job_id = defer(cli, "break", "--queue", "mail")
    cli.run("--app", "shop:app", "worker", "--one-shot")
    assert job(cli, job_id)["status"] == "failed"
    return job_id


def job(cli: CommandLine, job_id: int) -> dict[str, Any]:
    found: dict[str, Any] = cli.run("jobs", job_id, "--json").document()
    return found


def test_a_waiting_job_is_cancelled(forthwith_cli: CommandLine) -> None:
    job_id = defer(forthwith_cli)
    ran = forthwith_cli.run("cancel", job_id)
    assert (ran.code, ran.stdout) == (0, f"job {job_id}: cancelled\n")
    assert job(forthwith_cli, job_id)["status"] == "cancelled"


def test_a_cancelled_job_is_deleted_on_request(forthwith_cli: CommandLine) -> None:
    job_id = defer(forthwith_cli)
    [result] = forthwith_cli.run("cancel", job_id, "--delete", "--json").document()["results"]
    assert result == {"id": job_id, "result": "deleted", "status": None}
    assert forthwith_cli.run("jobs", job_id).code == 6


def test_a_job_that_has_ended_cannot_be_cancelled(forthwith_cli: CommandLine) -> None:
    job_id = defer(forthwith_cli)
    forthwith_cli.run("cancel", job_id)
    ran = forthwith_cli.run("cancel", job_id)
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr == f"job {job_id}: nothing to cancel, it is cancelled\n"


def test_a_running_job_is_asked_to_stop_on_request_alone(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    arguments = '{"started": "running", "until": "never"}'
    job_id = defer(forthwith_cli, "wait_for_file", arguments)
    start_worker()
    wait_until_sync((forthwith_cli.directory / "running").exists)
    refused = forthwith_cli.run("cancel", job_id)
    assert refused.code == 1
    assert "--abort" in refused.stderr
    asked = forthwith_cli.run("cancel", job_id, "--abort")
    assert asked.code == 0
    wait_until_sync(lambda: job(forthwith_cli, job_id)["status"] == "aborted")


def test_several_jobs_are_worked_through(forthwith_cli: CommandLine) -> None:
    first, second = defer(forthwith_cli), defer(forthwith_cli)
    missing = forthwith_cli.run("cancel", first, 4711, second, "--json")
    assert missing.code == 6
    assert '"not_found"' in missing.stdout
    assert job(forthwith_cli, second)["status"] == "cancelled"
    assert forthwith_cli.run("cancel", first, 4711).code == 1
    assert forthwith_cli.run("cancel", 4711).code == 6


def test_a_failed_job_runs_again(forthwith_cli: CommandLine) -> None:
    job_id = fail_a_job(forthwith_cli)
    ran = forthwith_cli.run("retry", job_id, "--queue", "other", "--priority", "3")
    assert (ran.code, ran.stdout) == (0, f"job {job_id}: runs again at once\n")
    again = job(forthwith_cli, job_id)
    assert (again["status"], again["queue"], again["priority"]) == ("todo", "other", 3)
    forthwith_cli.run("--app", "shop:app", "worker", "--one-shot")
    assert len(job(forthwith_cli, job_id)["failed_attempts"]) == 2


def test_a_retry_can_be_put_off(forthwith_cli: CommandLine) -> None:
    job_id = fail_a_job(forthwith_cli)
    ran = forthwith_cli.run("retry", job_id, "--at", "2100-01-01T00:00:00Z", "--json")
    assert ran.document()["results"] == [{"id": job_id, "result": "retried", "status": "todo"}]
    assert job(forthwith_cli, job_id)["scheduled_at"] == "2100-01-01T00:00:00Z"


def test_a_job_that_succeeded_cannot_be_retried(forthwith_cli: CommandLine) -> None:
    job_id = defer(forthwith_cli, "send", '{"to": "ada"}')
    forthwith_cli.run("--app", "shop:app", "worker", "--one-shot")
    ran = forthwith_cli.run("retry", job_id)
    assert ran.code == 1, ran
    assert ran.stderr == f"job {job_id}: cannot be retried, it is succeeded\n"


def test_a_missing_job_cannot_be_retried(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("retry", 4711)
    assert (ran.code, ran.stderr) == (6, "job 4711: not found\n")
