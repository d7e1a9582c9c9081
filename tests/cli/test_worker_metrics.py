"""`forthwith worker --metrics-port`, and the log line of each outcome."""

from __future__ import annotations

import json
import re
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine
    from tests.cli.conftest import StartWorker


def urls(output: str) -> list[str]:
    return re.findall(r"Metrics and health are at (http://\S+)/metrics", output)


def text_of(url: str) -> str:
    with urllib.request.urlopen(url, timeout=15) as answer:  # noqa: S310 -- of our own
        return str(answer.read().decode())


def test_each_process_serves_at_a_port_of_its_own(
    forthwith_cli: CommandLine, start_worker: StartWorker
) -> None:
    worker = start_worker("--processes", "2", "--metrics-port", "0")
    wait_until_sync(lambda: len(urls(worker.output())) == 2)
    first, second = urls(worker.output())
    assert first != second
    for url in (first, second):
        assert text_of(f"{url}/health/live") == "live\n"
        wait_until_sync(
            lambda url=url: "forthwith_worker_concurrency 7.0" in text_of(f"{url}/metrics")
        )


def test_ports_must_be_left_for_all_processes(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run(
        *["--app", "shop:app", "worker", "--processes", "3", "--metrics-port", "65534"]
    )
    assert ran.code == 2
    assert "--metrics-port" in ran.stderr
    assert "at most 65533" in ran.stderr


def test_port_that_is_taken_is_named(forthwith_cli: CommandLine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = forthwith_cli.run("--app", "shop:app", "worker", "--metrics-port", port)
    assert ran.code == 2
    assert f"127.0.0.1:{port}" in ran.stderr
    assert "Choose another port" in ran.stderr


@pytest.mark.parametrize(
    ("task", "arguments", "outcome"),
    [
        ("send", {"to": "nobody-may-see-it"}, "succeeded"),
        ("break", {"message": "no-such-thing"}, "failed"),
    ],
)
def test_each_outcome_is_a_line_for_programs(
    forthwith_cli: CommandLine, task: str, arguments: dict[str, str], outcome: str
) -> None:
    deferred = forthwith_cli.run(
        "defer", "--unknown", task, "--queue", "mail", json.dumps(arguments)
    )
    ran = forthwith_cli.run("--app", "shop:app", "worker", "--one-shot", "--log-format", "json")
    records = [json.loads(line) for line in ran.stderr.splitlines()]
    [line] = [record for record in records if "outcome" in record]
    assert line["job_id"] == int(deferred.stdout)
    expected = (task, "mail", 1, outcome)
    assert (line["task"], line["queue"], line["attempt"], line["outcome"]) == expected
    assert line["duration_s"] >= 0
    assert line["worker_id"] > 0
    assert line.get("exception_type") == (None if outcome == "succeeded" else "ValueError")
    assert not any(value in ran.stderr for value in arguments.values())
