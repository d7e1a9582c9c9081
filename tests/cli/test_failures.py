"""Each way to fail has its exit code, and says what to do in a line or two."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.cli.command_line import CommandLine, Ran, command
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.databases import Databases

ON_A_BARE_DATABASE = [
    ["jobs"],
    ["jobs", "1"],
    ["queues"],
    ["status"],
    ["cancel", "1"],
    ["retry", "1"],
    ["defer", "--unknown", "task"],
]


@pytest.fixture(scope="module")
def bare_url(databases: Databases) -> Iterator[str]:
    """The URL of a database without the schema, in which nobody makes one."""
    name, url = databases.create_empty()
    yield url
    databases.drop(name)


@pytest.fixture(scope="module")
def newer_url(module_database_url: str) -> str:
    """The URL of a database that a newer version has migrated."""
    with psycopg.connect(module_database_url) as connection:
        connection.execute("insert into forthwith.migration (name, checksum) values ('9999', '')")
    return module_database_url


def assert_short(ran: Ran) -> None:
    assert 1 <= len(ran.stderr.splitlines()) <= 2, ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("arguments", [*ON_A_BARE_DATABASE, ["migrate"]])
def test_an_unreachable_database_exits_with_4(plain: CommandLine, arguments: list[str]) -> None:
    ran = plain.run(*arguments)
    assert ran.code == 4, ran
    assert_short(ran)
    assert "secret-password" not in ran.stderr


def test_a_worker_without_its_database_exits_with_4(plain: CommandLine) -> None:
    ran = plain.run("--app", "shop:app", "worker")
    assert ran.code == 4, ran
    assert "secret-password" not in ran.stderr


@pytest.mark.parametrize("arguments", ON_A_BARE_DATABASE)
def test_a_missing_schema_exits_with_5_and_names_the_command(
    plain: CommandLine, bare_url: str, arguments: list[str]
) -> None:
    ran = plain.run(*arguments, FORTHWITH_DATABASE_URL=bare_url)
    assert ran.code == 5, ran
    assert_short(ran)
    assert "forthwith migrate" in ran.stderr


def test_a_worker_without_the_schema_exits_with_5(plain: CommandLine, bare_url: str) -> None:
    ran = plain.run("--app", "shop:app", "worker", FORTHWITH_DATABASE_URL=bare_url)
    assert ran.code == 5, ran
    assert "forthwith migrate" in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [*ON_A_BARE_DATABASE, ["migrate"], ["migrate", "--check"], ["--app", "shop:app", "worker"]],
)
def test_a_schema_of_a_newer_version_exits_with_5(
    plain: CommandLine, newer_url: str, arguments: list[str]
) -> None:
    ran = plain.run(*arguments, FORTHWITH_DATABASE_URL=newer_url)
    assert ran.code == 5, ran
    assert "upgrade forthwith" in ran.stderr


@pytest.mark.parametrize("arguments", [["jobs"], ["status"], ["--app", "shop:app", "worker"]])
def test_a_schema_of_an_older_version_exits_with_5(
    forthwith_cli: CommandLine, database_url: str, arguments: list[str]
) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("delete from forthwith.migration")
    ran = forthwith_cli.run(*arguments)
    assert ran.code == 5, ran
    assert "forthwith migrate" in ran.stderr
    assert forthwith_cli.run("migrate", "--check").stdout.startswith("pending 0001")


def test_an_app_without_a_database_says_so(plain: CommandLine) -> None:
    (plain.directory / "memory.py").write_text(
        "import forthwith\nfrom procrastinate.testing import InMemoryConnector\n"
        "app = forthwith.App(connector=InMemoryConnector())"
    )
    ran = plain.run("--app", "memory:app", "jobs")
    assert ran.code == 1
    assert "InMemoryConnector" in ran.stderr
    assert_short(ran)


def test_several_workers_without_the_schema_give_up_with_5(
    plain: CommandLine, bare_url: str
) -> None:
    arguments = ("--app", "shop:app", "worker", "--processes", "2")
    ran = plain.run(*arguments, FORTHWITH_DATABASE_URL=bare_url)
    assert ran.code == 5, ran


def test_a_password_in_a_malformed_url_is_not_repeated(plain: CommandLine) -> None:
    ran = plain.run("--database", "postgres//ada:secret-password@host/x", "jobs")
    assert ran.code != 0
    assert "secret-password" not in ran.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["jobs", "--status", "lost"],
        ["jobs", "--limit", "0"],
        ["jobs", "1", "--queue", "mail"],
        ["cancel"],
        ["cancel", "one"],
        ["retry", "1", "--at", "2030-01-01T00:00:00"],
        ["retry", "1", "--at", "2030-01-01T00:00:00Z", "--in", "5m"],
        ["retry", "1", "--in", "soon"],
        ["defer", "--unknown", "task", "[1]"],
        ["defer", "--unknown", "task", "{}", "--priority", "3000000000"],
        ["--app", "shop:app", "worker", "--concurrency", "0"],
        ["--app", "shop:app", "worker", "--queues", "a,,b"],
        ["--app", "shop:app", "worker", "--processes", "0"],
        ["migrate", "--sql", "--check"],
    ],
)
def test_wrong_usage_exits_with_2(plain: CommandLine, arguments: list[str]) -> None:
    ran = plain.run(*arguments)
    assert ran.code == 2, ran
    assert "Usage:" in ran.stderr


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--queue", "q" * 500], "queue"),
        (["--lock", "l" * 9000], "lock"),
        (["--queue", ""], "queue"),
    ],
)
def test_values_that_the_library_refuses_exit_with_2(
    forthwith_cli: CommandLine, options: list[str], named: str
) -> None:
    ran = forthwith_cli.run("defer", "--unknown", "task", *options)
    assert ran.code == 2, ran
    assert named in ran.stderr


def test_ctrl_c_exits_with_130(forthwith_cli: CommandLine, database_url: str) -> None:
    with psycopg.connect(database_url) as blocker:
        blocker.execute("lock table forthwith.job in access exclusive mode")
        process = subprocess.Popen(
            command("--database", database_url, "jobs"),
            cwd=forthwith_cli.directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        with process, psycopg.connect(database_url, autocommit=True) as observer:
            wait_until_sync(lambda: waits_for_lock(observer))
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert errors.strip() == "forthwith: interrupted"


def test_a_closed_pipe_is_no_traceback(forthwith_cli: CommandLine, database_url: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        command("--database", database_url, "jobs", "--json"),
        cwd=forthwith_cli.directory,
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert done.returncode == 1
    assert done.stderr == ""


def waits_for_lock(observer: psycopg.Connection) -> bool:
    query = """
        select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'
    """
    return observer.execute(query).rowcount > 0
