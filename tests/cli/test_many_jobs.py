"""`retry`, `cancel`, `abort`, `reschedule` and `delete` with `--where`, and by ids."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from forthwith.cli.program import run
from tests.cli.populate import defer_many
from tests.cli.pty_session import PtySession
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command_line import CommandLine
    from tests.cli.conftest import StartWorker

BULK = ("retry", "cancel", "abort", "reschedule", "delete")
INTERRUPTED = """
import os
import signal

import forthwith
from forthwith.operations import Desk

app = forthwith.App()
do = Desk.do


async def do_and_interrupt(self, *what):
    os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C does, in the middle of the first batch
    return await do(self, *what)


Desk.do = do_and_interrupt
"""


def fail_jobs(cli: CommandLine, url: str, count: int) -> list[int]:
    ids = defer_many(url, count, task="break")
    ran = cli.run("--app", "shop:app", "worker", "--one-shot")
    assert ran.code == 0, ran
    return ids


def of_status(cli: CommandLine, status: str) -> set[int]:
    jobs = cli.run("jobs", "--state", status, "--json", "--limit", "10000").document()["jobs"]
    return {job["id"] for job in jobs}


def when(action: str) -> list[str]:
    return ["--in", "1h"] if action == "reschedule" else []


def test_failed_jobs_of_a_filter_are_retried(forthwith_cli: CommandLine, database_url: str) -> None:
    failed = fail_jobs(forthwith_cli, database_url, 7)
    others = defer_many(database_url, 2, queue="other")
    conditions = "queue=mail state=failed error=TypeError since=1h"
    ran = forthwith_cli.run("retry", "--where", conditions, "--yes")
    assert ran.code == 0, ran
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("retry: ")
    assert lines[0].endswith(" 7 jobs")
    assert str(failed[-1]) in ran.stdout
    assert lines[-1] == "7 jobs retried"
    assert of_status(forthwith_cli, "todo") == {*failed, *others}


def test_jobs_are_retried_elsewhere_and_later(
    forthwith_cli: CommandLine, database_url: str
) -> None:
    failed = fail_jobs(forthwith_cli, database_url, 3)
    changes = ["--at", "2100-01-01T00:00:00Z", "--queue", "slow", "--priority", 7, "--lock", "ada"]
    ran = forthwith_cli.run("retry", "--where", "queue=mail", "--yes", *changes)
    assert ran.stdout.splitlines()[-1] == "3 jobs retried", ran
    one = forthwith_cli.run("retry", defer_and_cancel(forthwith_cli), *changes)
    assert one.code == 0, one
    jobs = forthwith_cli.run("jobs", "--state", "scheduled", "--json").document()["jobs"]
    assert {job["id"] for job in jobs} > {*failed}
    assert {(job["queue"], job["priority"], job["lock"]) for job in jobs} == {("slow", 7, "ada")}
    assert {job["scheduled_at"][:10] for job in jobs} == {"2100-01-01"}
    assert len(jobs) == 4


def defer_and_cancel(cli: CommandLine) -> int:
    job_id: int = cli.run("defer", "--unknown", "deliver", "--json").document()["id"]
    assert cli.run("cancel", job_id).code == 0
    return job_id


def test_changes_that_cannot_be_made_are_refused_before_anybody_is_asked(
    forthwith_cli: CommandLine, database_url: str
) -> None:
    fail_jobs(forthwith_cli, database_url, 1)
    for option in ("--queue", "--lock"):
        ran = forthwith_cli.run("retry", "--where", "queue=mail", "--yes", option, "")
        assert ran.code == 2, ran
        assert option.strip("-") in ran.stderr
        assert ran.stdout == ""


@pytest.mark.parametrize("action", BULK)
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_nobody_is_asked_without_a_terminal(
    capsys: pytest.CaptureFixture[str], action: str, more: list[str]
) -> None:
    assert run([action, "--where", "queue=mail", *when(action), *more]) == 2
    assert "--yes" in capsys.readouterr().err


def test_a_dry_run_touches_nothing(forthwith_cli: CommandLine, database_url: str) -> None:
    jobs = set(defer_many(database_url, 3))
    for action in BULK:
        arguments = [action, "--where", "queue=mail", *when(action), "--dry-run", "--json"]
        document = forthwith_cli.run(*arguments).document()
        assert document["count"] == (0 if action in ("retry", "abort") else 3)
        assert "done" not in document
    assert of_status(forthwith_cli, "ready") == jobs


def test_each_action_does_what_it_says(forthwith_cli: CommandLine, database_url: str) -> None:
    jobs = set(defer_many(database_url, 3))

    def do(action: str, *more: str) -> dict[str, Any]:
        arguments = [action, "--where", "queue=mail", "--yes", "--json", *when(action), *more]
        document: dict[str, Any] = forthwith_cli.run(*arguments).document()
        return document

    assert do("reschedule")["done"] == 3
    assert of_status(forthwith_cli, "scheduled") == jobs
    cancelled = do("cancel")
    assert (cancelled["done"], cancelled["is_complete"], cancelled["skipped"]) == (3, True, [])
    assert of_status(forthwith_cli, "cancelled") == jobs
    assert do("abort")["done"] == 0
    assert do("retry")["done"] == 3
    assert of_status(forthwith_cli, "ready") == jobs
    assert do("delete")["done"] == 3
    assert forthwith_cli.run("jobs", "--json").document()["jobs"] == []


def test_somebody_at_a_terminal_is_asked(
    forthwith_cli: CommandLine, directory: Path, database_url: str
) -> None:
    jobs = set(defer_many(database_url, 2))
    environment = {"FORTHWITH_DATABASE_URL": database_url}
    arguments = ("cancel", "--where", "queue=mail")
    with PtySession(directory, environment, *arguments) as session:
        session.wait_for("2 jobs? [y/N]:")
        session.press("n\n")
        assert session.wait() == 1
        session.wait_for("nothing was done")
    assert of_status(forthwith_cli, "todo") == jobs
    with PtySession(directory, environment, *arguments) as session:
        session.wait_for("2 jobs? [y/N]:")
        session.press("y\n")
        assert session.wait() == 0
        session.wait_for("2 jobs cancelled")
    assert of_status(forthwith_cli, "cancelled") == jobs


def test_whoever_interrupts_is_told_how_many_were_done(
    forthwith_cli: CommandLine, directory: Path, database_url: str
) -> None:
    defer_many(database_url, 1100)
    (directory / "interrupted.py").write_text(INTERRUPTED)
    arguments = ["cancel", "--where", "queue=mail", "--yes"]
    ran = forthwith_cli.run("--app", "interrupted:app", *arguments)
    assert ran.code == 130, ran
    told = re.fullmatch(r"interrupted: ([\d,]+) jobs .*cancelled", ran.stdout.splitlines()[-1])
    assert told is not None, ran
    done = int(told[1].replace(",", ""))
    assert 1 <= done <= 1000  # a batch may be smaller where the machine is busy
    assert len(of_status(forthwith_cli, "cancelled")) == done
    again = forthwith_cli.run(*arguments)
    assert again.stdout.splitlines()[-1] == f"{1100 - done:,} jobs cancelled"


def test_nothing_to_do_is_no_failure(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("retry", "--where", "queue=mail", "--yes")
    assert (ran.code, ran.stdout) == (0, "retry: 0 jobs\n0 jobs retried\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["retry"], "name the jobs"),
        (["retry", "1", "--where", "queue=a", "--yes"], "exclude each other"),
        (["retry", "1", "--yes"], "--yes is for --where alone"),
        (["retry", "--where", "quue=a", "--yes"], "did you mean queue?"),
        (["cancel", "--where", "queue=a", "--yes", "--delete"], "forthwith delete --where"),
        (["reschedule", "1"], "say when"),
        (["reschedule", "1", "--in", "1h", "--at", "2030-01-01T00:00:00Z"], "exclude each other"),
    ],
)
def test_what_is_wrong_is_named(
    capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert run(arguments) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert told in written.err


def test_jobs_are_rescheduled_and_deleted_by_ids(
    forthwith_cli: CommandLine, database_url: str
) -> None:
    first, second = defer_many(database_url, 2)
    at = "2099-01-31T09:00:00Z"
    ran = forthwith_cli.run("reschedule", first, "--at", at)
    assert (ran.code, ran.stdout) == (0, f"job {first}: due at 2099-01-31 09:00:00 UTC\n")
    assert forthwith_cli.run("job", first, "--json").document()["scheduled_at"] == at
    [deleted] = forthwith_cli.run("delete", second, "--json").document()["results"]
    assert deleted == {"id": second, "result": "deleted", "status": None}
    missing = forthwith_cli.run("delete", second)
    assert (missing.code, missing.stderr) == (6, f"job {second}: not found\n")
    waits = forthwith_cli.run("abort", first)
    assert waits.code == 1
    assert waits.stderr == f"job {first}: left alone, it is waiting: cancel it instead\n"


def test_running_jobs_are_asked_to_stop(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    for name in ("one", "two"):
        given = json.dumps({"started": name, "until": "never"})
        forthwith_cli.run("defer", "--unknown", "wait_for_file", given)
    start_worker()
    for name in ("one", "two"):
        wait_until_sync((forthwith_cli.directory / name).exists)
    assert forthwith_cli.run("abort", 1).stdout == "job 1: asked to stop\n"
    ran = forthwith_cli.run("abort", "--where", "task=wait_for_file text=two", "--yes")
    assert ran.stdout.splitlines()[-1] == "1 job asked to stop"
    wait_until_sync(lambda: of_status(forthwith_cli, "aborted") == {1, 2})
