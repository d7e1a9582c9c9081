"""What a shell completes: commands, options, and names from the app and the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import BashComplete

import forthwith
from forthwith.cli import completion as names
from forthwith.cli.group import cli
from forthwith.cli.program import run
from forthwith.operations import Desk
from tests.cli.populate import defer_many
from tests.support.waiting import wait_until
from tests.support.workers import running_worker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.command_line import CommandLine


def completed(*words: str) -> list[str]:
    """Return what a shell would offer for the last of these words."""
    completion = BashComplete(cli, {}, "forthwith", "_FORTHWITH_COMPLETE")
    *before, begun = words
    return [item.value for item in completion.get_completions(before, begun)]


async def known_periodic_tasks(app: forthwith.App) -> list[str]:
    """Return those that workers have told of."""
    async with Desk(app) as desk:
        return [each.task for each in await desk.periodic()]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch, database_url: str) -> None:
    """Give names all the time that a busy machine needs."""
    monkeypatch.setattr(names, "LOOK_S", 60.0)
    monkeypatch.setenv("FORTHWITH_DATABASE_URL", database_url)
    monkeypatch.delenv("FORTHWITH_APP", raising=False)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert run(["completion", shell]) == 0
    assert f"_FORTHWITH_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_an_unknown_shell_is_refused() -> None:
    assert run(["completion", "csh"]) == 2


def test_a_shell_is_answered(plain: CommandLine) -> None:
    asked = {"COMP_WORDS": "forthwith res", "COMP_CWORD": "1"}
    ran = plain.run(_FORTHWITH_COMPLETE="bash_complete", **asked)
    assert (ran.code, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == ["plain,reschedule", "plain,resume"]


def test_commands_and_options_are_completed_without_a_database() -> None:
    assert completed("res") == ["reschedule", "resume"]
    assert completed("jobs", "--sta") == ["--state", "--status"]
    assert completed("jobs", "--state", "sc") == ["scheduled"]


@pytest.mark.usefixtures("patient")
def test_names_come_from_the_database(database_url: str) -> None:
    defer_many(database_url, 1, task="pack", queue="parcels")
    assert completed("jobs", "--queue", "par") == ["parcels"]
    assert completed("jobs", "--task", "pa") == ["pack"]
    assert completed("defer", "pa") == ["pack"]
    assert completed("pause", "par") == ["parcels"]
    assert completed("resume", "mail", "par") == ["parcels"]


@pytest.mark.usefixtures("patient")
async def test_periodic_tasks_are_completed_once_a_worker_has_told_of_them(
    database_url: str,
) -> None:
    app = forthwith.App(database_url)

    @app.periodic(cron="0 3 * * *")
    @app.task(name="nightly")
    async def nightly(timestamp: int) -> None: ...

    async with app.open_async(), running_worker(app):
        await wait_until(lambda: known_periodic_tasks(app))
        assert await asyncio.to_thread(completed, "periodic", "pause", "ni") == ["nightly"]


@pytest.mark.usefixtures("patient")
def test_names_come_from_the_app(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    (directory / "shop.py").rename(directory / "shop_to_complete.py")
    monkeypatch.syspath_prepend(directory)
    app = ("--app", "shop_to_complete:app")
    assert completed(*app, "jobs", "--task", "se") == ["send"]
    assert completed(*app, "jobs", "--queue", "ma") == ["mail"]


def test_what_cannot_be_found_out_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = "postgresql://ada@127.0.0.1:1/nowhere"
    assert completed("--database", nowhere, "jobs", "--queue", "m") == []
    assert completed("--app", "nowhere:app", "jobs", "--queue", "m") == []
    monkeypatch.setattr(names, "LOOK_S", 0.0)
    assert completed("--database", nowhere, "jobs", "--queue", "m") == []
