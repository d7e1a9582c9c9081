"""A directory with an app, and the command line pointed at a test's database."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import pytest

from tests.cli.command_line import CommandLine, Running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The app that the command line loads. It leaves its marks in files, which prove what has run.
SHOP = """
import asyncio
import gc
import os
import pathlib
import signal
import time

import forthwith

app = forthwith.App(worker_defaults={"concurrency": 7})


def mark(name):
    pathlib.Path(name).touch()


@app.task(queue="mail", name="send")
async def send(to, **more):
    mark(f"sent-{to}")


@app.task(queue="mail", name="break")
def break_(message="no milk today"):
    raise ValueError(message)


@app.task(name="wait_for_file")
async def wait_for_file(started, until):
    mark(started)
    while not pathlib.Path(until).exists():
        await asyncio.sleep(0.01)
    mark(started + "-done")


@app.task(name="block")
async def block(started):
    mark(started)
    while True:
        pass


@app.task(name="die")
async def die():
    os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="never_end")
def never_end(started):
    mark(started)
    while True:
        time.sleep(0.05)


@app.task(name="weigh")
async def weigh():
    pathlib.Path("set-aside").write_text(str(gc.get_freeze_count()))
"""


class StartWorker(Protocol):
    """Start `forthwith --app shop:app worker` with these arguments."""

    def __call__(self, *arguments: object) -> Running: ...


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """An empty directory with a module `shop` that has an app."""
    path = tmp_path / "project"
    path.mkdir()
    (path / "shop.py").write_text(SHOP)
    return path


@pytest.fixture
def plain(directory: Path) -> CommandLine:
    """The command line without a database; nothing listens where it would look for one."""
    url = "postgresql://ada:secret-password@127.0.0.1:1/nowhere?connect_timeout=2"
    return CommandLine(directory, {"FORTHWITH_DATABASE_URL": url})


@pytest.fixture
def forthwith_cli(directory: Path, database_url: str) -> CommandLine:
    """The command line on a database with the schema."""
    return CommandLine(directory, {"FORTHWITH_DATABASE_URL": database_url})


@pytest.fixture
def empty_cli(directory: Path, empty_database_url: str) -> CommandLine:
    """The command line on a database without the schema."""
    return CommandLine(directory, {"FORTHWITH_DATABASE_URL": empty_database_url})


@pytest.fixture
def start_worker(forthwith_cli: CommandLine, tmp_path: Path) -> Iterator[StartWorker]:
    """Start workers whose processes are gone after the test, whatever it did to them."""
    started: list[Running] = []

    def start(*arguments: object) -> Running:
        log = tmp_path / f"worker-{len(started)}.log"
        running = forthwith_cli.start("--app", "shop:app", "worker", *arguments, log=log)
        started.append(running)
        return running

    yield start
    for running in started:
        running.clean_up()
        for pid in process_ids(running.output()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def process_ids(output: str) -> list[int]:
    """Return the ids of the worker processes that a supervisor says it started."""
    words = [
        line.split("Worker process ")[1]
        for line in output.splitlines()
        if " started" in line and "Worker process " in line
    ]
    return [int(word.split()[0]) for word in words]
