"""What a shell completes: commands, options, and names from the app and the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from forthwith.cli.program import run

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine


def completed(cli: CommandLine, *words: str) -> list[str]:
    """Return what bash would offer for the last of these words."""
    ran = cli.run(
        _FORTHWITH_COMPLETE="bash_complete",
        COMP_WORDS=" ".join(("forthwith", *words)),
        COMP_CWORD=str(len(words)),
    )
    assert (ran.code, ran.stderr) == (0, ""), ran
    return [line.partition(",")[2] for line in ran.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert run(["completion", shell]) == 0
    assert f"_FORTHWITH_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_an_unknown_shell_is_refused() -> None:
    assert run(["completion", "csh"]) == 2


def test_commands_and_options_are_completed_without_a_database(plain: CommandLine) -> None:
    assert completed(plain, "res") == ["reschedule", "resume"]
    assert completed(plain, "jobs", "--sta") == ["--state", "--status"]
    assert completed(plain, "jobs", "--state", "sc") == ["scheduled"]


def test_names_come_from_the_database(forthwith_cli: CommandLine) -> None:
    forthwith_cli.run("defer", "--unknown", "pack", "--queue", "parcels")
    assert completed(forthwith_cli, "jobs", "--queue", "par") == ["parcels"]
    assert completed(forthwith_cli, "jobs", "--task", "pa") == ["pack"]
    assert completed(forthwith_cli, "defer", "pa") == ["pack"]


def test_names_come_from_the_app(forthwith_cli: CommandLine) -> None:
    assert completed(forthwith_cli, "--app", "shop:app", "jobs", "--task", "se") == ["send"]
    assert completed(forthwith_cli, "--app", "shop:app", "jobs", "--queue", "ma") == ["mail"]


def test_what_cannot_be_found_out_is_not_offered(plain: CommandLine) -> None:
    assert completed(plain, "jobs", "--queue", "m") == []
    assert completed(plain, "--app", "nowhere:app", "jobs", "--queue", "m") == []
