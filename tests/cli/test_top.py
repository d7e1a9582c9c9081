"""`forthwith top` on a real terminal, and in a pipe."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.cli.populate import defer_many
from tests.cli.pty_session import PtySession
from tests.support.waiting import wait_until_sync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.command_line import CommandLine
    from tests.cli.conftest import StartWorker

OTHER_SCREEN, FORMER_SCREEN = "\x1b[?1049h", "\x1b[?1049l"
HOSTILE = "[red]\x1b]0;title\x07\u202e"


def top(directory: Path, url: str, *arguments: object, **size: int) -> PtySession:
    environment = {"FORTHWITH_DATABASE_URL": url}
    return PtySession(directory, environment, "top", "--interval", "0.2", *arguments, **size)


@pytest.mark.parametrize("key", ["q", "\x03"])
def test_a_key_leaves_the_terminal_as_it_was(
    forthwith_cli: CommandLine, directory: Path, database_url: str, key: str
) -> None:
    forthwith_cli.run("defer", "--unknown", "t", "--queue", "parcels")
    with top(directory, database_url) as session:
        session.wait_for("parcels")
        assert session.settings != session.settings_before
        session.press(key)
        assert session.wait() == 0, session.text
        assert session.written.count(OTHER_SCREEN) == session.written.count(FORMER_SCREEN) == 1
        assert session.written.rindex("\x1b[?25h") > session.written.rindex("parcels")
        assert session.settings == session.settings_before


def test_ctrl_z_gives_the_terminal_back_for_a_while(
    forthwith_cli: CommandLine, directory: Path, database_url: str
) -> None:
    forthwith_cli.run("defer", "--unknown", "t", "--queue", "parcels")
    with top(directory, database_url) as session:
        session.wait_for("parcels")
        session.press("\x1a")
        session.wait_until_stopped()
        assert session.settings == session.settings_before
        wait_until_sync(lambda: session.written.count(FORMER_SCREEN) == 1)
        session.go_on()
        wait_until_sync(lambda: session.written.count(OTHER_SCREEN) == 2)
        wait_until_sync(lambda: "parcels" in session.written.rpartition(OTHER_SCREEN)[2])
        assert session.settings != session.settings_before
        session.press("q")
        assert session.wait() == 0
        assert session.settings == session.settings_before


def test_it_shows_workers_and_what_is_wrong_live(
    forthwith_cli: CommandLine, directory: Path, database_url: str, start_worker: StartWorker
) -> None:
    forthwith_cli.run("defer", "--unknown", "break", "--queue", "mail")
    with top(directory, database_url) as session:
        session.wait_for_screen(has="No worker is running")
        start_worker("--name", "ada")
        session.wait_for_screen(has="ada (1)", lacks="No worker is running")
        session.wait_for_screen(has="no milk today")
        session.press("q")
        assert session.wait() == 0


def test_a_picture_fits_the_terminal_whatever_its_size(directory: Path, database_url: str) -> None:
    for number in range(12):
        defer_many(database_url, 1, queue=f"queue-{number:02}")
    with top(directory, database_url, columns=50, rows=12) as session:
        session.wait_for_screen(has="more")
        assert widest(session.screen) <= 50
        assert len(session.screen.splitlines()) <= 12
        session.resize(140, 45)
        session.wait_for_screen(has="queue-11")
        assert 50 < widest(session.screen) <= 140
        session.press("q")
        assert session.wait() == 0


@contextmanager
def away(url: str) -> Iterator[None]:
    """Take the database away, from those who are connected too, within the block."""
    name = urlsplit(url).path.removeprefix("/")
    allow = sql.SQL("alter database {} allow_connections {}")
    with psycopg.connect(url, dbname="postgres", autocommit=True) as other:
        other.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        try:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", [name]
            )
            yield
        finally:
            other.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def test_it_outlives_its_database(
    forthwith_cli: CommandLine, directory: Path, database_url: str
) -> None:
    forthwith_cli.run("defer", "--unknown", "t", "--queue", "parcels")
    with top(directory, database_url) as session:
        session.wait_for_screen(has="parcels")
        with away(database_url):
            session.wait_for_screen(has="THE DATABASE CANNOT BE ASKED")
            assert "parcels" in session.screen  # as it was last known
        session.wait_for_screen(has="parcels", lacks="CANNOT BE ASKED")
        session.press("q")
        assert session.wait() == 0


def test_it_starts_before_its_database(
    forthwith_cli: CommandLine, directory: Path, database_url: str
) -> None:
    forthwith_cli.run("defer", "--unknown", "t", "--queue", "parcels")
    outage = ExitStack()
    outage.enter_context(away(database_url))
    with outage, top(directory, database_url) as session:
        session.wait_for_screen(has="THE DATABASE CANNOT BE ASKED")
        outage.close()
        session.wait_for_screen(has="parcels", lacks="CANNOT BE ASKED")
        session.press("q")
        assert session.wait() == 0


def test_it_starts_without_its_database_and_leaves_at_once(directory: Path) -> None:
    nowhere = "postgresql://ada:secret-password@127.0.0.1:1/nowhere"
    with top(directory, nowhere) as session:
        session.wait_for_screen(has="THE DATABASE CANNOT BE ASKED")
        assert "secret-password" not in session.written
        session.press("q")
        assert session.wait() == 0


def test_names_cannot_reach_the_terminal(
    forthwith_cli: CommandLine, directory: Path, database_url: str
) -> None:
    forthwith_cli.run("defer", "--unknown", HOSTILE, "--queue", HOSTILE)
    with top(directory, database_url) as session:
        session.wait_for_screen(has=r"[red]\x1b]0;title\x07\u202e")
        assert "\x1b]" not in session.written
        assert not {"\x07", "\u202e"} & set(session.written)
        session.press("q")
        assert session.wait() == 0


def test_in_a_pipe_it_shows_all_once(forthwith_cli: CommandLine) -> None:
    forthwith_cli.run("defer", "--unknown", "t", "--queue", "parcels")
    ran = forthwith_cli.run("top")
    assert ran.code == 0, ran
    assert "parcels" in ran.stdout
    assert "No workers." in ran.stdout
    assert "\x1b" not in ran.stdout


def test_in_a_pipe_it_fails_without_a_database(plain: CommandLine) -> None:
    ran = plain.run("top")
    assert (ran.code, ran.stdout) == (4, "")


def test_an_interval_that_cannot_be_is_named(plain: CommandLine) -> None:
    ran = plain.run("top", "--interval", "0")
    assert ran.code == 2
    assert "--interval" in ran.stderr


def widest(picture: str) -> int:
    return max(map(len, picture.splitlines()))
