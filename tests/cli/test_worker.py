"""`forthwith worker` and its signals, in one process and in several."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import process_ids
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine, Running
    from tests.cli.conftest import StartWorker


def defer(cli: CommandLine, task: str, **arguments: object) -> int:
    ran = cli.run("defer", "--unknown", task, json.dumps(arguments))
    assert ran.code == 0, ran
    return int(ran.stdout)


def status(cli: CommandLine, job_id: int) -> str:
    return str(cli.run("jobs", job_id, "--json").document()["status"])


def start_a_job(cli: CommandLine, name: str = "running") -> int:
    """Defer a job that runs until the file `go` is there; return when it has started."""
    job_id = defer(cli, "wait_for_file", started=name, until="go")
    wait_until_sync((cli.directory / name).exists)
    return job_id


def let_go(cli: CommandLine) -> None:
    (cli.directory / "go").touch()


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that has ended but was not waited for does not."""
    ran = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], stdout=subprocess.PIPE, text=True)
    return ran.stdout.strip()[:1] not in ("", "Z")


def test_a_one_shot_runs_what_is_due_and_leaves(forthwith_cli: CommandLine) -> None:
    job_id = defer(forthwith_cli, "send", to="ada")
    ran = forthwith_cli.run("--app", "shop:app", "worker", "--one-shot")
    assert ran.code == 0, ran
    assert (forthwith_cli.directory / "sent-ada").exists()
    assert status(forthwith_cli, job_id) == "succeeded"


def test_the_first_line_describes_the_worker(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("--app", "shop:app", "worker", "--one-shot", "--queues", "a,b")
    line = ran.stderr.splitlines()[0]
    assert "queues a, b" in line
    assert "concurrency 7" in line
    assert "pid " in line
    assert "postgresql://" in line


def test_queues_limit_what_runs(forthwith_cli: CommandLine) -> None:
    elsewhere = int(forthwith_cli.run("defer", "--unknown", "send", "--queue", "other").stdout)
    mail = int(
        forthwith_cli.run("defer", "--unknown", "send", '{"to": "x"}', "--queue", "mail").stdout
    )
    forthwith_cli.run("--app", "shop:app", "worker", "--one-shot", "--queues", "mail")
    assert status(forthwith_cli, mail) == "succeeded"
    assert status(forthwith_cli, elsewhere) == "todo"


def test_no_log_line_shows_arguments(forthwith_cli: CommandLine) -> None:
    defer(forthwith_cli, "send", to="secret-argument")
    for log_format in ("text", "json"):
        defer(forthwith_cli, "send", to="ada", more="secret-argument")
        ran = forthwith_cli.run(
            *["--app", "shop:app", "worker", "--one-shot"],
            *["--log-level", "debug", "--log-format", log_format],
        )
        assert ran.code == 0, ran
        assert "secret-argument" not in ran.stderr + ran.stdout


def test_json_logs_are_an_object_a_line(forthwith_cli: CommandLine) -> None:
    defer(forthwith_cli, "break")
    ran = forthwith_cli.run("--app", "shop:app", "worker", "--one-shot", "--log-format", "json")
    records = [json.loads(line) for line in ran.stderr.splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(record) for record in records)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_running_jobs_finish(
    forthwith_cli: CommandLine, start_worker: StartWorker, number: signal.Signals
) -> None:
    worker = start_worker()
    job_id = start_a_job(forthwith_cli)
    worker.send(number)
    worker.wait_for_output("finishing what runs")
    let_go(forthwith_cli)
    assert worker.wait() == 0
    assert (forthwith_cli.directory / "running-done").exists()
    assert status(forthwith_cli, job_id) == "succeeded"


def test_a_second_signal_hurries(forthwith_cli: CommandLine, start_worker: StartWorker) -> None:
    worker = start_worker()
    job_id = start_a_job(forthwith_cli)
    worker.send(signal.SIGTERM)
    worker.wait_for_output("finishing what runs")
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert not (forthwith_cli.directory / "running-done").exists()
    assert status(forthwith_cli, job_id) == "todo"


def test_the_grace_period_ends_the_wait(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    worker = start_worker("--grace-period", "0.2")
    job_id = start_a_job(forthwith_cli)
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert status(forthwith_cli, job_id) == "todo"


def test_a_sync_task_that_never_ends_does_not_keep_the_process(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    worker = start_worker("--grace-period", "0.2")
    defer(forthwith_cli, "never_end", started="running")
    wait_until_sync((forthwith_cli.directory / "running").exists)
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0


def supervised(cli: CommandLine, start_worker: StartWorker, *options: str) -> Running:
    """Start two worker processes, and wait until both are registered."""
    supervisor = start_worker("--processes", "2", *options)
    wait_until_sync(lambda: len(workers(cli)) == 2)
    return supervisor


def workers(cli: CommandLine) -> set[int]:
    """Return the ids of the processes of all registered workers that live."""
    document = cli.run("status", "--json").document()
    return {worker["pid"] for worker in document["workers"] if is_alive(worker["pid"])}


def test_several_processes_are_children_of_a_supervisor(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    supervisor = supervised(forthwith_cli, start_worker, "--name", "ada")
    assert workers(forthwith_cli) == set(process_ids(supervisor.output()))
    document = forthwith_cli.run("status", "--json").document()
    assert {worker["name"] for worker in document["workers"]} == {"ada-1", "ada-2"}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_supervisor_passes_a_signal_on(
    forthwith_cli: CommandLine, start_worker: StartWorker, number: signal.Signals
) -> None:
    supervisor = supervised(forthwith_cli, start_worker)
    job_id = start_a_job(forthwith_cli)
    supervisor.send(number)
    let_go(forthwith_cli)
    assert supervisor.wait() == 0
    assert status(forthwith_cli, job_id) == "succeeded"
    assert not any(map(is_alive, process_ids(supervisor.output())))


def test_a_supervisor_passes_the_second_signal_on(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    supervisor = supervised(forthwith_cli, start_worker)
    job_id = start_a_job(forthwith_cli)
    supervisor.send(signal.SIGTERM)
    supervisor.wait_for_output("ended")
    supervisor.send(signal.SIGTERM)
    assert supervisor.wait() == 0
    assert status(forthwith_cli, job_id) == "todo"


def test_a_killed_worker_process_is_replaced(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    supervisor = supervised(forthwith_cli, start_worker)
    victim, survivor = sorted(workers(forthwith_cli))
    os.kill(victim, signal.SIGKILL)
    supervisor.wait_for_output("Worker process ", times=4)
    wait_until_sync(lambda: len(workers(forthwith_cli) - {victim}) == 2)
    assert survivor in workers(forthwith_cli)
    supervisor.send(signal.SIGTERM)
    assert supervisor.wait() == 0


def test_a_worker_process_killed_while_stopping_is_reported(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    supervisor = supervised(forthwith_cli, start_worker)
    start_a_job(forthwith_cli)
    supervisor.send(signal.SIGTERM)
    supervisor.wait_for_output("ended")
    [busy] = [pid for pid in process_ids(supervisor.output()) if is_alive(pid)]
    os.kill(busy, signal.SIGKILL)
    assert supervisor.wait() == 1


def test_a_killed_supervisor_leaves_no_orphans(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    supervisor = supervised(forthwith_cli, start_worker)
    job_id = start_a_job(forthwith_cli)
    children = process_ids(supervisor.output())
    supervisor.send(signal.SIGKILL)
    wait_until_sync(lambda: "supervisor is gone" in supervisor.output())
    let_go(forthwith_cli)
    wait_until_sync(lambda: not any(map(is_alive, children)))
    assert status(forthwith_cli, job_id) == "succeeded"


def test_several_one_shots_leave_when_all_are_done(forthwith_cli: CommandLine) -> None:
    jobs = [defer(forthwith_cli, "send", to=f"n{n}") for n in range(3)]
    ran = forthwith_cli.run("--app", "shop:app", "worker", "--one-shot", "--processes", "2")
    assert ran.code == 0, ran
    assert {status(forthwith_cli, job_id) for job_id in jobs} == {"succeeded"}


def test_an_app_that_cannot_be_loaded_stops_all_processes(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("--app", "nowhere:app", "worker", "--processes", "2")
    assert ran.code == 3, ran
