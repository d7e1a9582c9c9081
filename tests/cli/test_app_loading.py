"""`--app` finds the app, or says in a line or two why it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine, command

BROKEN = {
    "no_such_module:app": "ModuleNotFoundError",
    "shop:nothing": "has no `nothing`",
    "shop": "pkg.module:app",
    "shop:": "pkg.module:app",
    "shop:mark": "it is a function",
    "broken:app": "RuntimeError: out of milk",
    "leaves:app": "SystemExit",
    "lost_imports:app": "import_paths",
}


@pytest.fixture
def broken(directory: Path) -> Path:
    """Modules whose apps cannot be loaded, beside the one whose app can."""
    (directory / "broken.py").write_text("raise RuntimeError('out of milk')")
    (directory / "leaves.py").write_text("raise SystemExit(0)")
    (directory / "lost_imports.py").write_text(
        "import forthwith\napp = forthwith.App(import_paths=['no_such_tasks'])"
    )
    (directory / "stock.py").write_text(
        "import procrastinate\napp = procrastinate.App(connector=procrastinate.PsycopgConnector())"
    )
    return directory


@pytest.mark.parametrize("path", ["shop:app", "shop.app"])
def test_the_app_is_found_in_the_current_directory(forthwith_cli: CommandLine, path: str) -> None:
    assert forthwith_cli.run("--app", path, "defer", "send", '{"to": "ada"}').code == 0


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize(("path", "reason"), BROKEN.items())
def test_an_app_that_cannot_be_loaded_exits_with_3(
    plain: CommandLine, path: str, reason: str
) -> None:
    ran = plain.run("--app", path, "worker")
    assert ran.code == 3
    assert reason in ran.stderr
    assert "Traceback" not in ran.stderr
    assert len(ran.stderr.splitlines()) <= 2


@pytest.mark.usefixtures("broken")
def test_a_plain_procrastinate_app_is_told_how_to_change(plain: CommandLine) -> None:
    ran = plain.run("--app", "stock:app", "jobs")
    assert ran.code == 3
    assert "forthwith.App(" in ran.stderr


@pytest.mark.usefixtures("broken")
def test_debug_shows_the_traceback(plain: CommandLine) -> None:
    ran = plain.run("--app", "broken:app", "--debug", "jobs")
    assert "Traceback" in ran.stderr
    assert "out of milk" in ran.stderr


def test_the_environment_names_the_app(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("defer", "send", '{"to": "ada"}', FORTHWITH_APP="shop:app")
    assert ran.code == 0


def test_common_options_may_follow_the_command(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("defer", "send", '{"to": "ada"}', "--app", "shop:app")
    assert ran.code == 0


@pytest.mark.parametrize("arguments", [["worker"], ["defer", "send"]])
def test_what_needs_an_app_says_so(plain: CommandLine, arguments: list[str]) -> None:
    ran = plain.run(*arguments)
    assert ran.code == 2
    assert "--app" in ran.stderr


def test_an_app_and_a_database_exclude_each_other(plain: CommandLine) -> None:
    ran = plain.run("--app", "shop:app", "--database", "postgresql:///x", "jobs")
    assert ran.code == 2


def test_a_database_wins_over_the_environments_app(plain: CommandLine, database_url: str) -> None:
    ran = plain.run("--database", database_url, "jobs", FORTHWITH_APP="no_such_module:app")
    assert ran.code == 0


def test_the_installed_script_is_the_same_program(plain: CommandLine) -> None:
    script = Path(sys.executable).parent / "forthwith"
    assert script.exists()
    assert script.read_text().count("forthwith.cli") == 1
    assert plain.run("--version").stdout.startswith("forthwith ")
    assert command("--version")[1:] == ["-m", "forthwith", "--version"]
