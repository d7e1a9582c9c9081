"""`forthwith migrate`, `queues` and `status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forthwith.cli.documents import JOB_KEYS, WORKER_KEYS
from tests.cli.command_line import CommandLine
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import StartWorker


def defer(cli: CommandLine, task: str = "t", *options: str) -> int:
    return int(cli.run("defer", "--unknown", task, *options).stdout)


def test_migrate_applies_what_is_pending_once(empty_cli: CommandLine) -> None:
    pending = empty_cli.run("migrate", "--check", "--json")
    assert pending.code == 5
    assert '"pending": [\n' in pending.stdout
    first = empty_cli.run("migrate")
    assert first.code == 0, first
    assert "applied 0001" in first.stdout
    assert empty_cli.run("migrate", "--json").document() == {"applied": []}
    assert empty_cli.run("migrate", "--check", "--json").document() == {"pending": []}


def test_migrate_checks_in_words(empty_cli: CommandLine, forthwith_cli: CommandLine) -> None:
    missing = empty_cli.run("migrate", "--check")
    assert missing.code == 5
    assert "forthwith migrate" in missing.stdout
    assert forthwith_cli.run("migrate", "--check").stdout == "The schema is up to date.\n"


def test_migrate_writes_sql_without_a_database(plain: CommandLine) -> None:
    ran = plain.run("migrate", "--sql")
    assert ran.code == 0, ran
    assert "create table forthwith.job" in ran.stdout


def test_queues_count_jobs_by_status(forthwith_cli: CommandLine) -> None:
    assert forthwith_cli.run("queues").stdout == "No queues.\n"
    defer(forthwith_cli, "t", "--queue", "mail")
    forthwith_cli.run("cancel", defer(forthwith_cli, "t", "--queue", "mail"))
    counts = {"todo": 1, "doing": 0, "succeeded": 0, "failed": 0, "cancelled": 1, "aborted": 0}
    [queue] = forthwith_cli.run("queues", "--json").document()["queues"]
    assert {key: queue[key] for key in counts} == counts
    assert (queue["name"], queue["jobs_count"], queue["ready"], queue["running"]) == (
        "mail",
        2,
        1,
        0,
    )
    _, row = forthwith_cli.run("queues", "--by-status").stdout.splitlines()
    assert row.split() == ["mail", "1", "0", "0", "0", "1", "0", "2"]


def test_queues_say_what_waits_and_whether_they_are_paused(forthwith_cli: CommandLine) -> None:
    defer(forthwith_cli, "t", "--queue", "mail")
    defer(forthwith_cli, "t", "--queue", "mail", "--in", "1h")
    _, row = forthwith_cli.run("queues").stdout.splitlines()
    assert row.split()[:6] == ["mail", "open", "1", "0", "1", "0"]
    forthwith_cli.run("pause", "mail")
    _, row = forthwith_cli.run("queues").stdout.splitlines()
    assert row.split()[:2] == ["mail", "paused"]


def test_status_describes_the_database(forthwith_cli: CommandLine) -> None:
    document = forthwith_cli.run("status", "--json").document()
    assert set(document) == {"database", "jobs", "workers", "oldest_waiting_job"}
    assert document["database"]["server_version"].split(".")[0].isdigit()
    assert document["database"]["migrations_pending"] == 0
    assert document["database"]["embedded"] is False
    assert document["jobs"]["todo"] == 0
    assert document["workers"] == []
    assert document["oldest_waiting_job"] is None


def test_the_embedded_database_is_the_default_and_has_its_schema(
    directory: Path, tmp_path: Path
) -> None:
    command_line = CommandLine(directory, {"FORTHWITH_HOME": str(tmp_path / "home")})
    job_id = defer(command_line)
    document = command_line.run("status", "--json").document()
    assert document["database"]["embedded"] is True
    assert document["oldest_waiting_job"]["id"] == job_id


def test_status_shows_the_oldest_job_that_waits(forthwith_cli: CommandLine) -> None:
    defer(forthwith_cli, "later", "--in", "1h")
    oldest = defer(forthwith_cli, "now")
    defer(forthwith_cli, "now")
    found = forthwith_cli.run("status", "--json").document()["oldest_waiting_job"]
    assert found["id"] == oldest
    assert set(found) == set(JOB_KEYS)
    assert f"job {oldest} (now)" in forthwith_cli.run("status").stdout


def test_status_shows_workers(forthwith_cli: CommandLine, start_worker: StartWorker) -> None:
    running = start_worker("--name", "ada", "--queues", "mail,default")
    wait_until_sync(lambda: forthwith_cli.run("status", "--json").document()["workers"])
    [worker] = forthwith_cli.run("status", "--json").document()["workers"]
    assert set(worker) == set(WORKER_KEYS)
    assert (worker["name"], worker["pid"]) == ("ada", running.pid)
    assert sorted(worker["queues"]) == ["default", "mail"]
    assert worker["concurrency"] == 7
    assert str(running.pid) in forthwith_cli.run("status").stdout
