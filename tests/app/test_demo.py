"""The demo as a user runs it, smaller."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from app.demo.children import ROOT
from app.demo.scratch import PREFIX
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from pathlib import Path

SMALL = ("--events", "300", "--endpoints", "20", "--port", "0", "--receiver-port", "0")


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo and what it has printed."""

    process: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text()

    def wait(self) -> int:
        """Wait until it ends; return its exit code."""
        return self.process.wait(timeout=120)

    def wait_for(self, text: str) -> None:
        """Wait until it prints `text`."""
        wait_until_sync(lambda: text in self.output() or self.process.poll() is not None, 60)
        assert text in self.output()

    def number(self, row: str) -> int:
        """Return the number in a row of the table."""
        found = re.search(rf"│ {row} +│ +([\d,]+) │", self.output())
        assert found is not None, self.output()
        return int(found[1].replace(",", ""))

    def url(self, what: str) -> str:
        """Return one of the URLs that it shows in the end."""
        found = re.search(rf"^ +{what} +(http\S+)$", self.output(), re.MULTILINE)
        assert found is not None, self.output()
        return found[1]


Start = Callable[..., Demo]


@pytest.fixture
def start_demo(empty_database_url: str, tmp_path: Path) -> Iterator[Start]:
    """Start a demo on the tests' server: `start_demo("--exit", SETTING="value")`."""
    demos: list[Demo] = []

    def start(*arguments: str, **settings: str) -> Demo:
        log = tmp_path / f"demo-{len(demos)}.log"
        environment = {
            "FORTHWITH_HOME": str(tmp_path / "home"),
            "FORTHWITH_DATABASE_URL": empty_database_url,
            "COLUMNS": "100",
            "PYTHONUNBUFFERED": "1",
        }
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "app.demo", *SMALL, *arguments],
                cwd=ROOT,
                env={**os.environ, **environment, **settings},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        demos.append(demo := Demo(process, log))
        return demo

    yield start
    for demo in demos:
        demo.process.terminate()
        demo.wait()


def demo_databases(server_url: str) -> list[str]:
    """Return the demo databases that the server has, by the names of their processes."""
    with psycopg.connect(server_url) as connection:
        rows = connection.execute(
            "select datname from pg_database where starts_with(datname, %s)", [PREFIX]
        ).fetchall()
    return [name for (name,) in rows]


def is_alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_demo_loses_nothing(start_demo: Start) -> None:
    demo = start_demo("--exit")

    assert demo.wait() == 0, demo.output()
    assert demo.number("accepted") == demo.number("delivered") == 300
    assert demo.number("lost") == demo.number("failed") == demo.number("overlapping") == 0
    assert demo.number("retried") > 0
    assert "Killed worker-1" in demo.output()


def test_demo_notices_a_lost_event(start_demo: Start) -> None:
    demo = start_demo("--exit", "--lose-one", "--events", "60")

    assert demo.wait() == 1, demo.output()
    assert demo.number("accepted") == 60
    assert demo.number("delivered") == 59
    assert demo.number("lost") == 1


def test_demo_that_runs_out_of_time_is_no_success(start_demo: Start) -> None:
    demo = start_demo("--exit", "--events", "100000", "--deadline-s", "2")

    assert demo.wait() == 1, demo.output()
    assert demo.number("lost") == 0
    assert demo.number("unfinished") > 0


def test_demo_stays_up_until_interrupted_and_leaves_nothing(
    start_demo: Start, empty_database_url: str
) -> None:
    demo = start_demo("--events", "60")
    demo.wait_for("until Ctrl-C")
    demo.wait_for("the logs")
    urls = [demo.url("health"), demo.url("the receiver")]
    listing = demo.url("jobs by status")
    workers: list[int] = []

    def are_two_up() -> bool:  # the one that was killed is on the list for a while
        workers[:] = [each["pid"] for each in httpx.get(listing).json()["workers"]]
        return sum(map(is_alive, workers)) == 2

    wait_until_sync(are_two_up)
    assert [httpx.get(url).status_code for url in urls] == [200, 200]
    demo.process.send_signal(signal.SIGINT)
    demo.process.send_signal(signal.SIGINT)  # an impatient second one changes nothing

    assert demo.wait() == 0, demo.output()
    assert not any(is_alive(pid) for pid in workers)
    for url in urls:
        with pytest.raises(httpx.ConnectError):
            httpx.get(url)
    assert f"{PREFIX}{demo.process.pid}" not in demo_databases(empty_database_url)


def test_interrupted_demo_clears_up(start_demo: Start, empty_database_url: str) -> None:
    demo = start_demo("--events", "100000")
    demo.wait_for("processes are up")
    demo.process.send_signal(signal.SIGTERM)

    assert demo.wait() == 130, demo.output()
    assert f"{PREFIX}{demo.process.pid}" not in demo_databases(empty_database_url)


def test_part_that_does_not_start_shows_its_log(start_demo: Start) -> None:
    demo = start_demo("--exit", RELAY_WORKER_CONCURRENCY="many")

    assert demo.wait() == 2
    assert "RELAY_WORKER_CONCURRENCY: 'many' is not a valid int" in demo.output()


def test_demo_takes_other_ports_when_its_own_are_taken(start_demo: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        demo = start_demo("--exit", "--events", "20", "--port", taken, "--receiver-port", taken)
        assert demo.wait() == 0, demo.output()
