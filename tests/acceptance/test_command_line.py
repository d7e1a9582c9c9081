"""Procrastinate's own command line, pointed at a forthwith app."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]

SHOP = """
import pathlib

import forthwith

app = forthwith.App()


@app.task(name="mark")
async def mark(name):
    pathlib.Path(name).touch()


@app.task(name="fail", queue="bad")
def fail():
    raise ValueError
"""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "procrastinate", *arguments]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A directory with a module `shop` that has a forthwith app."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


def environment(url: str) -> dict[str, str]:
    return os.environ | {"FORTHWITH_DATABASE_URL": url, "PROCRASTINATE_APP": "shop.app"}


def runner(directory: Path, url: str) -> Run:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=directory,
            env=environment(url),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def run(shop: Path, database_url: str) -> Run:
    """Run `procrastinate` on the test's database."""
    return runner(shop, database_url)


@pytest.fixture
def worker(shop: Path, database_url: str) -> Iterator[subprocess.Popen[str]]:
    """A `procrastinate worker` that waits for jobs."""
    process = subprocess.Popen(
        command("worker", "--concurrency", "2", "--shutdown-graceful-timeout", "5"),
        cwd=shop,
        env=environment(database_url),
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    process.kill()
    process.communicate()


def test_schema_applies_and_shows_the_schema(shop: Path, empty_database_url: str) -> None:
    run = runner(shop, empty_database_url)
    unhealthy = run("healthchecks")
    assert unhealthy.returncode == 1
    assert run("schema", "--apply").returncode == 0
    assert run("schema", "--apply").returncode == 0
    assert run("healthchecks").returncode == 0
    assert "create table" in run("schema", "--read").stdout
    assert run("schema", "--migrations-path").stdout.strip().endswith("migrations")


def test_healthchecks_pass_on_a_good_database(run: Run) -> None:
    checked = run("--app=shop.app", "healthchecks")
    assert checked.returncode == 0, checked.stderr
    assert "DB connection: OK" in checked.stdout


def test_defer_and_worker_run_a_job(run: Run, shop: Path) -> None:
    deferred = run("defer", "mark", '{"name": "done"}', "--priority", "2", "--lock", "l")
    assert deferred.returncode == 0, deferred.stderr
    worked = run("worker", "--one-shot", "--queues", "default", "--name", "ada")
    assert worked.returncode == 0, worked.stderr
    assert (shop / "done").exists()


def test_a_waiting_worker_runs_what_comes_and_stops_at_a_signal(
    run: Run, shop: Path, worker: subprocess.Popen[str]
) -> None:
    assert run("defer", "mark", '{"name": "done"}').returncode == 0
    wait_until_sync((shop / "done").exists)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0


def test_defer_takes_its_options(run: Run, database_url: str) -> None:
    assert run("defer", "mark", "--queue=q", "--queueing-lock=ql", "--in=3600").returncode == 0
    again = run("defer", "mark", "--queueing-lock=ql")
    assert again.returncode == 1
    assert "queueing lock" in again.stderr
    ignored = run("defer", "mark", "--queueing-lock=ql", "--ignore-already-enqueued")
    assert ignored.returncode == 0
    assert run("defer", "unknown").returncode == 1
    assert run("defer", "unknown", "--unknown", "--at=2050-01-01T00:00:00Z").returncode == 0
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(
            "select task, queue, scheduled_at > now() from forthwith.job order by id"
        ).fetchall()
    assert rows == [("mark", "q", True), ("unknown", "default", True)]


def test_the_shell_lists_retries_and_cancels(run: Run) -> None:
    run("defer", "fail")
    run("worker", "--one-shot")
    assert "#1 fail on bad - [failed]" in run("shell", "list_jobs").stdout
    for listing in ("list_queues", "list_tasks"):
        assert "1 jobs (todo: 0, doing: 0, succeeded: 0, failed: 1" in run("shell", listing).stdout
    assert "[todo]" in run("shell", "retry", "1").stdout
    assert "[cancelled]" in run("shell", "cancel", "1").stdout
    details = run("shell", "list_jobs", "status=cancelled", "details").stdout
    assert "attempts=1" in details
    assert run("shell", "list_locks").returncode == 0


def test_an_app_that_cannot_be_loaded_is_told(run: Run) -> None:
    refused = run("--app=shop.nothing", "healthchecks")
    assert refused.returncode == 2
    assert "Could not load app" in refused.stderr
