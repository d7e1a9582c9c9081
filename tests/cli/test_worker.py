"""`forthwith worker` and its signals, in one process and in several."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.conftest import process_ids
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command_line import Running
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


def test_what_was_loaded_is_left_out_of_garbage_collections(forthwith_cli: CommandLine) -> None:
    defer(forthwith_cli, "weigh")
    assert forthwith_cli.run("--app", "shop:app", "worker", "--one-shot").code == 0
    assert int((forthwith_cli.directory / "set-aside").read_text()) > 10_000  # objects


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


@pytest.mark.parametrize("log", ["a closed pipe", "/dev/full"])
def test_a_log_that_cannot_be_written_costs_no_job(forthwith_cli: CommandLine, log: str) -> None:
    job_id = defer(forthwith_cli, "break")
    sent = defer(forthwith_cli, "send", to="ada")
    if log == "a closed pipe":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open(log, os.O_WRONLY)
    try:
        code = forthwith_cli.run_unheard(
            "--app", "shop:app", "worker", "--one-shot", output=writing
        )
    finally:
        os.close(writing)
    assert (status(forthwith_cli, job_id), status(forthwith_cli, sent)) == ("failed", "succeeded")
    assert code == 0


@pytest.mark.parametrize("arguments", [(), ("--processes", "2")])
def test_a_database_that_never_answers_does_not_keep_a_worker_that_is_to_stop(
    directory: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(30.0)
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/nowhere?sslmode=disable"
        cli = CommandLine(directory, {"FORTHWITH_DATABASE_URL": url})
        worker = cli.start("--app", "shop:app", "worker", *arguments, log=tmp_path / "log")
        try:
            connection, _ = silent.accept()  # it connects, and hears nothing
            began_s = time.monotonic()
            worker.send(signal.SIGTERM)
            assert worker.wait() == 0
            assert time.monotonic() - began_s < 5.0 + 1.5  # a busy machine may take a while
            connection.close()
        finally:
            worker.clean_up()


def test_a_task_that_blocks_the_event_loop_does_not_keep_the_process(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    worker = start_worker("--grace-period", "0.2")
    job_id = defer(forthwith_cli, "block", started="running")
    behind = defer(forthwith_cli, "send", to="ada")
    wait_until_sync((forthwith_cli.directory / "running").exists)
    began_s = time.monotonic()
    worker.send(signal.SIGTERM)
    assert worker.wait() == 7
    assert time.monotonic() - began_s < 0.2 + 5.0 + 1.5
    assert (status(forthwith_cli, job_id), status(forthwith_cli, behind)) == ("todo", "todo")


def test_a_process_that_dies_again_and_again_is_replaced_ever_later(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    defer(forthwith_cli, "die")
    supervisor = start_worker("--processes", "2")
    supervisor.wait_for_output("killed by SIGKILL)", times=3)
    wait_until_sync(lambda: "failed" in jobs_by_status(forthwith_cli))
    assert "another one starts in 0.5 s" in supervisor.output()
    supervisor.send(signal.SIGTERM)
    assert supervisor.wait() == 0


def jobs_by_status(cli: CommandLine) -> set[str]:
    """Return the statuses of all jobs."""
    return {job["status"] for job in cli.run("jobs", "--json").document()["jobs"]}
