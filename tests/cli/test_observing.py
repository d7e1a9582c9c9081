"""`forthwith workers`, `tasks`, `periodic`, `locks` and `job` show what the desk knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import pytest

from forthwith.cli.group import cli
from forthwith.cli.program import run
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine
    from tests.cli.conftest import StartWorker

NIGHTLY = """

@app.periodic(cron="0 3 * * *")
@app.task(name="nightly", queue="mail", pass_context=False)
async def nightly(timestamp):
    mark("nightly-done")
"""
CONTEXT = click.Context(cli)


def test_workers_and_tasks_are_listed(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    assert forthwith_cli.run("workers").stdout == "No workers.\n"
    forthwith_cli.run("defer", "--unknown", "send", '{"to": "ada"}', "--queue", "mail")
    running = start_worker("--name", "ada")
    wait_until_sync((forthwith_cli.directory / "sent-ada").exists)
    [worker] = forthwith_cli.run("workers", "--json").document()["workers"]
    assert (worker["name"], worker["pid"], worker["concurrency"]) == ("ada", running.pid, 7)
    assert "ada" in forthwith_cli.run("workers").stdout
    tasks = forthwith_cli.run("tasks", "--json").document()["tasks"]
    [send] = [task for task in tasks if task["name"] == "send"]
    assert (send["is_known"], send["known_by"]) == (True, 1)
    [row] = [row for row in forthwith_cli.run("tasks").stdout.splitlines() if "send" in row]
    assert row.split()[:3] == ["send", "1", "worker"]


def test_a_lock_shows_its_line_and_a_job_what_it_waits_for(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    given = '{"started": "holds", "until": "never"}'
    forthwith_cli.run("defer", "--unknown", "wait_for_file", given, "--lock", "door")
    start_worker()
    wait_until_sync((forthwith_cli.directory / "holds").exists)
    for _ in range(2):
        forthwith_cli.run("defer", "--unknown", "wait_for_file", given, "--lock", "door")
    wait_until_sync(lambda: "behind job 1" in forthwith_cli.run("job", 2).stdout)
    [lock] = forthwith_cli.run("locks", "--json").document()["locks"]
    assert (lock["lock"], lock["holder_id"], lock["waiting"]) == ("door", 1, 2)
    _, row = forthwith_cli.run("locks").stdout.splitlines()
    assert row.split()[:4] == ["door", "1", "doing", "2"]
    text = forthwith_cli.run("job", 2).stdout
    assert "waits for\n    " in text
    assert "life (UTC)\n    " in text
    document = forthwith_cli.run("job", 2, "--json").document()
    assert document["state"] == "blocked"
    assert document["timeline"][0]["kind"] == "deferred"


def test_a_periodic_task_is_run_paused_and_resumed(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    shop = forthwith_cli.directory / "shop.py"
    shop.write_text(shop.read_text() + NIGHTLY)
    unknown = forthwith_cli.run("periodic", "run", "nightly")
    assert unknown.code == 1
    assert "no worker has told of" in unknown.stderr
    start_worker()
    wait_until_sync(lambda: forthwith_cli.run("periodic", "--json").document()["periodic"])
    [state] = forthwith_cli.run("periodic", "--json").document()["periodic"]
    assert (state["task"], state["cron"], state["paused_at"]) == ("nightly", "0 3 * * *", None)
    assert forthwith_cli.run("periodic", "pause", "nightly").stdout == "nightly: paused\n"
    assert "paused" in forthwith_cli.run("periodic").stdout
    again = forthwith_cli.run("periodic", "pause", "nightly", "--json").document()
    assert again == {"task": "nightly", "changed": False}
    assert forthwith_cli.run("periodic", "resume", "nightly").stdout == "nightly: resumed\n"
    assert forthwith_cli.run("periodic", "run", "nightly").stdout.strip().isdigit()
    wait_until_sync((forthwith_cli.directory / "nightly-done").exists)


@pytest.mark.parametrize("deed", ["run", "pause", "resume"])
def test_a_periodic_deed_needs_a_task(capsys: pytest.CaptureFixture[str], deed: str) -> None:
    assert run(["periodic", deed]) == 2
    assert f"forthwith periodic {deed} TASK" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        *("top", "doctor", "jobs", "job", "queues", "workers", "tasks", "periodic", "locks"),
        *("retry", "cancel", "abort", "reschedule", "delete", "completion"),
    ],
)
def test_the_help_has_an_example(name: str) -> None:
    command = cli.get_command(CONTEXT, name)
    assert command is not None
    assert "forthwith " in command.get_help(click.Context(command)).partition("Example")[2]
