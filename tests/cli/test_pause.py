"""`forthwith pause` and `forthwith resume`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.cli.command_line import CommandLine


def todo(cli: CommandLine) -> int:
    queues = cli.run("queues", "--json").document()["queues"]
    return sum(int(queue["todo"]) for queue in queues if queue["name"] == "mail")


def test_jobs_of_a_paused_queue_wait_until_it_is_resumed(forthwith_cli: CommandLine) -> None:
    ran = forthwith_cli.run("pause", "mail", "a\tb")
    assert (ran.code, ran.stdout) == (0, "mail: paused\na\\tb: paused\n")
    forthwith_cli.run("defer", "--unknown", "break", "--queue", "mail")
    forthwith_cli.run("--app", "shop:app", "worker", "--one-shot")
    assert todo(forthwith_cli) == 1
    ran = forthwith_cli.run("resume", "mail")
    assert (ran.code, ran.stdout) == (0, "mail: resumed\n")
    forthwith_cli.run("--app", "shop:app", "worker", "--one-shot")
    assert todo(forthwith_cli) == 0


def test_queue_that_nobody_knows_is_paused_and_doubted(forthwith_cli: CommandLine) -> None:
    forthwith_cli.run("defer", "--unknown", "break", "--queue", "mail")
    ran = forthwith_cli.run("pause", "mail", "mial")
    assert (ran.code, ran.stdout) == (0, "mail: paused\nmial: paused\n")
    assert ran.stderr.startswith("mial: there is no job in this queue")
    assert "mail:" not in ran.stderr


def test_queue_of_the_apps_own_is_paused_before_its_first_job(forthwith_cli: CommandLine) -> None:
    assert forthwith_cli.run("--app", "shop:app", "pause", "mail").stderr == ""
    assert forthwith_cli.run("pause", "mail").stderr.startswith("mail: there is no job")  # no app


def test_what_changed_nothing_is_told(forthwith_cli: CommandLine) -> None:
    def told(command: str) -> list[dict[str, Any]]:
        queues: list[dict[str, Any]] = forthwith_cli.run(command, "mail", "--json").document()[
            "queues"
        ]
        return queues

    assert told("resume") == [{"name": "mail", "paused": False, "changed": False}]
    assert told("pause") == [{"name": "mail", "paused": True, "changed": True}]
    assert told("pause") == [{"name": "mail", "paused": True, "changed": False}]
    assert forthwith_cli.run("pause", "mail").stdout == "mail: was paused already\n"
    assert told("resume") == [{"name": "mail", "paused": False, "changed": True}]
    assert forthwith_cli.run("resume", "mail").stdout == "mail: was not paused\n"


def test_queue_that_cannot_be_is_refused(forthwith_cli: CommandLine) -> None:
    for command in ("pause", "resume"):
        ran = forthwith_cli.run(command, "q" * 129)
        assert ran.code == 2
        assert "queue" in ran.stderr
